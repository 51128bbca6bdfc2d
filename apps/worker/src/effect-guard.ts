import { BaseCallbackHandler } from '@langchain/core/callbacks/base';
import type { StoredCheckpoints } from './stored-checkpoints.ts';

type ChainStart = Parameters<NonNullable<BaseCallbackHandler['handleChainStart']>>;

/** Stands before each task of an attempt: LangChain waits for it, and what it throws keeps the task from starting. */
export class EffectGuard extends BaseCallbackHandler {
  readonly name = 'millrace_effect_guard';
  readonly #checkpoints: StoredCheckpoints;

  constructor(checkpoints: StoredCheckpoints) {
    super({ raiseError: true, ignoreLLM: true, ignoreRetriever: true, ignoreCustomEvent: true });
    this.#checkpoints = checkpoints;
  }

  override async handleChainStart(...[, , , , tags]: ChainStart): Promise<void> {
    if (!isTask(tags)) return;
    await this.#checkpoints.settled();
  }
}

/** LangGraph tags so what it starts for a step, and nothing within it. */
function isTask(tags: string[] | undefined): boolean {
  return tags?.some((tag) => tag.startsWith('graph:step:')) ?? false;
}
