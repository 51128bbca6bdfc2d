import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
  type BindToolsInput,
} from '@langchain/core/language_models/chat_models';
import { AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import { type DemoToolCall, demoReply } from './demo-reply.ts';

/** The name that goes into a message's `response_metadata.model_name`. */
const DEMO_MODEL_NAME = 'millrace-demo';

interface DemoCallOptions extends BaseChatModelCallOptions {
  tools?: BindToolsInput[];
}

/**
 * A stand-in for a language model that needs no key and no network: it follows fixed rules (see {@link demoReply}), but
 * streams token by token and calls the bound tools as a real one would. Tokens in its usage counts are words.
 */
export class DemoModel extends BaseChatModel<DemoCallOptions, AIMessageChunk> {
  private readonly tokenDelayMs: number;

  /** @param fields.tokenDelayMs pause before each token in milliseconds, so that a person can watch; 0 unless told. */
  constructor(fields: BaseChatModelParams & { tokenDelayMs?: number } = {}) {
    super(fields);
    this.tokenDelayMs = fields.tokenDelayMs ?? 0;
  }

  static override lc_name(): string {
    return 'DemoModel';
  }

  override _llmType(): string {
    return 'millrace-demo';
  }

  override getLsParams(options: this['ParsedCallOptions']) {
    return { ...super.getLsParams(options), ls_provider: 'millrace', ls_model_name: DEMO_MODEL_NAME };
  }

  override bindTools(tools: BindToolsInput[], kwargs?: Partial<DemoCallOptions>) {
    return this.withConfig({ ...kwargs, tools });
  }

  override async _generate(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    let whole: ChatGenerationChunk | undefined;
    for await (const chunk of this._streamResponseChunks(messages, options, runManager)) {
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    return { generations: whole === undefined ? [] : [whole] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const reply = demoReply(messages, new Set((options.tools ?? []).map(toolName)));
    const deltas = 'text' in reply ? textDeltas(reply.text) : toolDeltas(reply.toolCalls);
    const input = messages.reduce((sum, message) => sum + words(message.text), 0);
    // Typed by its contents: the default message type of LangChain knows no usage.
    const usage = { input_tokens: input, output_tokens: deltas.length, total_tokens: input + deltas.length };
    const last = new AIMessageChunk({
      content: '',
      response_metadata: {
        model_name: DEMO_MODEL_NAME,
        finish_reason: 'text' in reply ? 'stop' : 'tool_calls',
      },
    });
    Object.assign(last, { usage_metadata: usage });
    deltas.push(last);
    for (const message of deltas) {
      // Even without a delay this gives the event loop a turn between tokens, as a network would, and sees an abort.
      await sleep(this.tokenDelayMs, undefined, options.signal ? { signal: options.signal } : {});
      const chunk = new ChatGenerationChunk({ message, text: message.text });
      yield chunk;
      await runManager?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
    }
  }
}

function textDeltas(text: string): AIMessageChunk[] {
  return text.split(/(?<=\s)(?=\S)/).map((content) => new AIMessageChunk({ content }));
}

/** Each call comes as a first chunk with its name and id, then its arguments in pieces, as providers stream them. */
function toolDeltas(calls: readonly DemoToolCall[]): AIMessageChunk[] {
  return calls.flatMap(({ name, args }, index) => {
    const json = JSON.stringify(args);
    const middle = Math.ceil(json.length / 2);
    return [
      { name, id: `call_${randomUUID()}`, args: '', index, type: 'tool_call_chunk' as const },
      { args: json.slice(0, middle), index, type: 'tool_call_chunk' as const },
      { args: json.slice(middle), index, type: 'tool_call_chunk' as const },
    ].map((chunk) => new AIMessageChunk({ content: '', tool_call_chunks: [chunk] }));
  });
}

/** The name of a bound tool, in LangChain's shape (`{name}`) or OpenAI's (`{function: {name}}`). */
function toolName(tool: BindToolsInput): string {
  const shape = tool as { name?: unknown; function?: { name?: unknown } };
  return String(shape.function?.name ?? shape.name);
}

function words(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}
