import { type SentinelConnectionOptions, SentinelConnector } from 'ioredis';

type Connect = SentinelConnector['connect'];

/**
 * Asks the Sentinels for the master, and hears from them when it changes.
 *
 * ioredis goes on listening for its former connection while it already looks for the next. The news, which then comes,
 * makes it give up the search, and with it the client for good.
 */
export class MasterConnector extends SentinelConnector {
  /** @param options of the client, as ioredis hands them over */
  constructor(options: unknown) {
    super(options as SentinelConnectionOptions);
  }

  override connect(...args: Parameters<Connect>): ReturnType<Connect> {
    // biome-ignore lint/complexity/useLiteralKeys: private, and there is no other way to it
    this['failoverDetector']?.cleanup();
    return super.connect(...args);
  }
}
