import { BaseCallbackHandler } from '@langchain/core/callbacks/base';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Effect } from '@millrace/shared/contract/effect';
import type { BeginResult, Effects } from '@millrace/shared/effects';
import type { Attempt, StopReason } from './attempt.ts';
import { EffectCalls, mustNotRepeat } from './effect-call.ts';
import { KnownResult } from './loader/known-result.ts';
import { StoredCheckpoints } from './stored-checkpoints.ts';

type ChainStart = Parameters<NonNullable<BaseCallbackHandler['handleChainStart']>>;
type StartOfTool = Parameters<NonNullable<BaseCallbackHandler['handleToolStart']>>;

/** Larger results are not kept for a second attempt; a person is asked instead. */
const OUTPUT_BYTES = 64 * 1024;

/**
 * Stands before the tasks and tools of an attempt: LangChain waits for it, and what it throws keeps them from starting.
 *
 * No task begins before its checkpoint is stored. No tool that must not be repeated begins before that is noted under the
 * attempt's lease, nor when a former attempt began it.
 */
export class EffectGuard extends BaseCallbackHandler {
  readonly name = 'millrace_effect_guard';
  readonly #effects: Effects;
  readonly #attempt: Attempt;
  readonly #saver: RedisSaver;
  readonly #checkpoints: StoredCheckpoints;
  readonly #calls: EffectCalls;
  /** LangChain's id of a call at work → ours. */
  readonly #working = new Map<string, string>();
  /** Calls that were kept from starting, because nobody knows how they went before. */
  readonly unknown: Effect[] = [];

  constructor(effects: Effects, attempt: Attempt, saver: RedisSaver) {
    super({ raiseError: true, ignoreLLM: true, ignoreRetriever: true, ignoreCustomEvent: true });
    this.#effects = effects;
    this.#attempt = attempt;
    this.#saver = saver;
    this.#checkpoints = new StoredCheckpoints(saver);
    this.#calls = new EffectCalls(this.#checkpoints);
  }

  override async handleChainStart(...[, , , , tags, metadata]: ChainStart): Promise<void> {
    if (!isTask(tags)) return;
    await this.#checkpoints.settled();
    this.#calls.started(String(metadata?.langgraph_checkpoint_ns));
  }

  override async handleToolStart(
    ...[tool, args, id, , , metadata = {}, name, toolCallId]: StartOfTool
  ): Promise<void> {
    if (!mustNotRepeat(metadata)) return;
    const call = this.#calls.of({ args, tool: name ?? tool.id.at(-1) ?? 'tool', toolCallId, metadata });
    if (!call) return;
    if (this.#attempt.stopReason) throw stopped(this.#attempt.stopReason);
    await this.#checkpoints.settled();
    const { runId, claim } = this.#attempt;
    const known = await this.#effects.begin(runId, claim.lease, call).catch((error: unknown) => {
      this.#attempt.stop('refused');
      throw error;
    });
    await this.#heed(known);
    // Whatever came meanwhile, the attempt's lease with it.
    if (this.#attempt.stopReason) throw stopped(this.#attempt.stopReason);
    this.#working.set(id, call.id);
  }

  override async handleToolEnd(output: unknown, id: string): Promise<void> {
    const call = this.#working.get(id);
    if (call === undefined) return;
    this.#working.delete(id);
    // A command of LangGraph would not come back as the same one.
    if (typeof output === 'object' && output !== null && 'lg_name' in output) return;
    const [type, bytes] = await this.#saver.serde.dumpsTyped(output);
    if (bytes.length > OUTPUT_BYTES) return;
    const text = JSON.stringify([type, Buffer.from(bytes).toString('base64')]);
    const { runId, claim } = this.#attempt;
    // It has been called, whether that can be noted or not.
    const noted = await this.#effects
      .returned(runId, claim.lease, call, text)
      .catch(() => 'refused' as const);
    if (noted === 'lost') this.#attempt.stop('lost');
  }

  override async handleToolError(error: unknown, id: string): Promise<void> {
    const call = this.#working.get(id);
    this.#working.delete(id);
    if (call === undefined || !asksItself(error)) return;
    const { runId, claim } = this.#attempt;
    // With the answer LangGraph calls it again, from its beginning.
    const again = [{ id: call, decision: 'repeat' as const }];
    await this.#effects.decide(runId, claim.lease, again).catch(() => undefined);
  }

  async #heed(known: BeginResult): Promise<void> {
    switch (known.outcome) {
      case 'begun':
        return;
      case 'skip':
        throw new KnownResult({ result: known.result });
      case 'returned': {
        const [type, base64] = JSON.parse(known.output) as [string, string];
        throw new KnownResult({
          output: await this.#saver.serde.loadsTyped(type, Buffer.from(base64, 'base64')),
        });
      }
      case 'unknown':
        this.unknown.push(known.effect);
        this.#attempt.stop('asks');
        throw stopped('asks');
      default: {
        const reason = known.outcome === 'lost' ? 'lost' : 'cancelled';
        this.#attempt.stop(reason);
        throw stopped(reason);
      }
    }
  }
}

function stopped(reason: StopReason): Error {
  return new DOMException(`The tool was not called, the run was stopped: ${reason}`, 'AbortError');
}

/** Whether a tool called `interrupt()`. By name: it may be another copy's. */
function asksItself(error: unknown): boolean {
  return error instanceof Error && error.name === 'GraphInterrupt';
}

/** LangGraph tags so what it starts for a step, and nothing within it. */
function isTask(tags: string[] | undefined): boolean {
  return tags?.some((tag) => tag.startsWith('graph:step:')) ?? false;
}
