import { BaseCallbackHandler } from '@langchain/core/callbacks/base';
import type { Serialized } from '@langchain/core/load/serializable';

/** A call of a model that begins, as LangChain tells of it. */
export interface StartedCall {
  /** LangChain's, of this call. */
  runId: string;
  parent: string | undefined;
  /** Messages, or the text of an older kind of model. */
  messages: unknown;
  extraParams: Record<string, unknown> | undefined;
  metadata: Record<string, unknown> | undefined;
}

type StartArguments = [
  model: Serialized,
  messages: unknown,
  runId: string,
  parent?: string,
  extraParams?: Record<string, unknown>,
  tags?: string[],
  metadata?: Record<string, unknown>,
];

/** Hears of what happens within an attempt; of a model's call in one way, whichever kind of model it is. */
export abstract class ModelHandler extends BaseCallbackHandler {
  // Otherwise LangChain calls back later, in a queue of its own, and times would be wrong.
  override awaitHandlers = true;
  override ignoreRetriever = true;
  override ignoreCustomEvent = true;

  protected abstract modelStarted(call: StartedCall): void;

  override handleChatModelStart(...given: StartArguments): void {
    this.modelStarted(startedCall(given));
  }

  override handleLLMStart(...given: StartArguments): void {
    this.modelStarted(startedCall(given));
  }
}

function startedCall([, messages, runId, parent, extraParams, , metadata]: StartArguments): StartedCall {
  return { runId, parent, messages, extraParams, metadata };
}
