import { parseEventId, type RunEvent } from '@millrace/shared/contract/event';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import { toWireJson } from '@millrace/shared/wire-json';
import type { Context } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import { type SseEvent, streamEvents } from '../http/sse.ts';
import type { Services } from '../services.ts';
import { cancelRun, followRun, getRun, LONGEST_WAIT_MS, outcomeOf, waitForRun } from '../use-cases/runs.ts';
import { lateJson } from '../wire/late-json.ts';
import { MessagesPartial } from '../wire/messages-partial.ts';
import { outcomeText } from '../wire/outcome-json.ts';
import { absorb, toWireEvents } from '../wire/run-stream.ts';
import { runHeaders } from './runs-accept.ts';

export interface AnswerOptions {
  drain: AbortSignal;
  /** The client wants the run stopped when it goes away. */
  cancelOnDisconnect: boolean;
}

/** Answers with a run's outcome, when it has one. */
export function answerOutcome(
  c: Context<HttpEnv>,
  services: Services,
  run: RunRecord,
  { drain, cancelOnDisconnect }: AnswerOptions,
): Response {
  const produce = async (signal: AbortSignal) => {
    const ended = await waitForRun(services, run.tenant, run.id, {
      timeoutMs: LONGEST_WAIT_MS,
      signal,
    });
    if (!hasEnded(ended.status)) throw signal.reason;
    return outcomeText(ended, await outcomeOf(services, ended));
  };
  return lateJson(c, produce, {
    drain,
    headers: runHeaders({ thread: run.thread, runId: run.id }),
    ...(cancelOnDisconnect && { onGone: () => cancelQuietly(services, run) }),
  });
}

/** Answers with a run's events from the one after the client's `Last-Event-ID` on. */
export function answerStream(
  c: Context<HttpEnv>,
  services: Services,
  run: RunRecord,
  options: AnswerOptions & { modes?: StreamMode[] | undefined },
): Response {
  const { drain, cancelOnDisconnect, modes = run.request.streamModes } = options;
  const lastEventId = c.req.header('Last-Event-ID');
  const gone = new AbortController();
  // Made here, not in the stream: an id that is none is refused while there is still a status to give.
  const events = followRun(services, run.id, { lastEventId, signal: gone.signal });
  const partial = modes.includes('messages') ? new MessagesPartial() : undefined;
  const snapshot = async () => {
    const now = await getRun(services, run.tenant, run.id);
    const { values } = await outcomeOf(services, now);
    return values && toWireJson(values);
  };

  async function* project(signal: AbortSignal): AsyncGenerator<SseEvent, void> {
    let left = true;
    const onGone = () => {
      gone.abort();
      if (left && cancelOnDisconnect && !drain.aborted) cancelQuietly(services, run);
    };
    signal.addEventListener('abort', onGone, { once: true });
    try {
      const seen = lastEventId === undefined ? undefined : parseEventId(lastEventId);
      const missed = partial && seen && (await rebuild(services, run, seen.seq, partial));
      yield* toWireEvents(missed ? withGap(missed, events) : events, { modes, partial, snapshot });
      left = signal.aborted;
    } catch (error) {
      // A fault of ours is no wish of the client's.
      left = false;
      throw error;
    } finally {
      if (!left) signal.removeEventListener('abort', onGone);
    }
  }
  return streamEvents(c, project, { drain, headers: runHeaders({ thread: run.thread, runId: run.id }) });
}

/**
 * Reads what a client has seen, so that messages go on where they were.
 *
 * @returns the gap, when the beginning of the stream is gone
 */
async function rebuild(
  services: Services,
  run: RunRecord,
  seen: number,
  partial: MessagesPartial,
): Promise<RunEvent | undefined> {
  // Beyond what there is, the client's id is of a stream that was rolled back: nothing to wait for.
  const until = Math.min(seen, run.seq);
  if (until === 0) return undefined;
  for await (const event of followRun(services, run.id, {})) {
    if (event.name === 'gap') return event;
    absorb(event, partial);
    if (event.seq >= until) return undefined;
  }
  return undefined;
}

async function* withGap(gap: RunEvent, events: AsyncIterable<RunEvent>): AsyncGenerator<RunEvent, void> {
  yield gap;
  yield* events;
}

function cancelQuietly(services: Services, run: RunRecord): void {
  cancelRun(services, run.tenant, run.id).catch((error: unknown) => {
    services.logger.warn({ err: error, runId: run.id }, 'a run whose client left could not be stopped');
  });
}
