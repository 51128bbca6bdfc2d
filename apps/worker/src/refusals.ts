import type { Logger } from '@millrace/shared/logger';

/** Writes that storage did not take: LangGraph keeps their promises, and looks at them when the step is over. */
const LOOKED_AT_LATER = new Set(['FenceError', 'StorageRefusal']);

/**
 * Keeps a worker alive through writes that storage refuses. Until LangGraph looks at such a promise, Node takes its
 * rejection for unhandled and would end the process, with every other run on it. Any other one still does.
 */
export function outliveRefusals(logger: Logger): void {
  process.on('unhandledRejection', (reason) => {
    const name = reason instanceof Error ? reason.name : '';
    if (LOOKED_AT_LATER.has(name)) {
      logger.debug({ err: reason }, 'a write was refused; its run will hear of it');
      return;
    }
    logger.fatal({ err: reason }, 'unhandled rejection');
    process.exit(1);
  });
}
