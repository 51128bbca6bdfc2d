import { Lifecycle } from '@millrace/shared/lifecycle';
import { createLogger } from '@millrace/shared/logger';
import { workerConfig } from './config.ts';
import { outliveRefusals } from './refusals.ts';
import { startWorker } from './worker.ts';

/** Beyond the drain: what closing connections may take. */
const CLOSING_MS = 5_000;

try {
  const config = workerConfig(process.env);
  const logger = createLogger('worker', config.logLevel);
  const lifecycle = new Lifecycle(logger, config.drainMs + CLOSING_MS);
  outliveRefusals(logger);
  lifecycle.exitOnSignals({ withStdin: config.exitOnStdinClose });
  const worker = await startWorker(config, logger);
  lifecycle.onStop('worker', worker.stop);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
