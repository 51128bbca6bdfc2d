import { DeadLetters } from './dead-letters.ts';
import type { Keys } from './keys.ts';
import type { RedisConnection } from './redis.ts';
import { RunReader } from './run-reader.ts';
import { loadScripts } from './scripts/index.ts';

/** The lists of runs, for a connection that may not write: that of a replica. */
export class ListReader {
  readonly runs: Pick<RunReader, 'runsOfThread'>;
  readonly dead: Pick<DeadLetters, 'list'>;

  constructor(redis: RedisConnection, keys: Keys) {
    const scripts = loadScripts(redis, keys.prefix);
    const reader = new RunReader(redis, keys, scripts, { tidy: false });
    this.runs = reader;
    this.dead = new DeadLetters(redis, keys, scripts, reader);
  }
}
