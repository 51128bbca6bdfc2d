import { ConfigError } from '@millrace/shared/config';
import { Lifecycle } from '@millrace/shared/lifecycle';
import { createLogger } from '@millrace/shared/logger';
import { type GatewayConfig, readConfig } from './config.ts';
import { startGateway } from './gateway.ts';

/** Beyond the grace of the requests: to close what is left. */
const CLOSE_MS = 5_000;

function configOrExit(): GatewayConfig {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

const config = configOrExit();
const logger = createLogger('gateway', config.logLevel);
const life = new Lifecycle(logger, config.drainMs + CLOSE_MS);
life.exitOnSignals({ withStdin: config.exitOnStdinClose });
await startGateway(config, logger, life).catch(async (error: unknown) => {
  // Told to leave before it was ready: that is no fault, and the exit is on its way.
  if (life.stopping) return;
  logger.fatal({ err: error }, 'the gateway cannot start');
  await life.stop('could not start');
  process.exit(1);
});
