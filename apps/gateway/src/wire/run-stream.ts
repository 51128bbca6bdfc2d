import { endEvent, eventId, metadataEvent, type RunEvent } from '@millrace/shared/contract/event';
import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import type { SseEvent } from '../http/sse.ts';
import type { MessagesPartial } from './messages-partial.ts';
import { wireError } from './outcome-json.ts';

/** What one client wants to see of a run. */
export interface StreamView {
  modes: readonly StreamMode[];
  /** Present when `messages` is among the modes; knows what the client has seen already. */
  partial?: MessagesPartial | undefined;
  /** The state's values as they are now, as JSON text; undefined when there are none. */
  snapshot: () => Promise<string | undefined>;
}

/**
 * A run's stored events as the Agent Server sends them: those of the client's modes, an `error` event when the run
 * failed, and no `end`: the stream ends. After a gap come the state's values.
 *
 * Of several events that one stored event makes, the last carries its id: whoever comes back with it has them all.
 */
export async function* toWireEvents(
  events: AsyncIterable<RunEvent>,
  view: StreamView,
): AsyncGenerator<SseEvent, void> {
  let snapshotFollows = false;
  for await (const event of events) {
    const made: SseEvent[] = [];
    const [mode = ''] = event.name.split('|', 1);
    switch (mode) {
      case 'gap': {
        const values = await view.snapshot();
        made.push({ event: 'gap', data: event.data });
        if (values !== undefined) made.push({ event: 'values', data: values });
        break;
      }
      case 'metadata':
        made.push({ event: 'metadata', data: event.data });
        view.partial?.discard(metadataEvent.parse(JSON.parse(event.data)).discard ?? []);
        break;
      case 'end':
        made.push(...atEnd(event, view));
        break;
      case 'error':
        // Told by the end, once.
        break;
      default:
        made.push(...ofMode(mode, event, view, snapshotFollows));
    }
    // A new attempt begins with the values it starts from, and a client that follows parts needs them.
    snapshotFollows = mode === 'metadata' && metadataEvent.parse(JSON.parse(event.data)).attempt > 1;
    const last = made.at(-1);
    if (last && event.seq > 0) last.id = eventId(event);
    yield* made;
  }
}

/** Lets `partial` know what a client has seen, without sending it. */
export function absorb(event: RunEvent, partial: MessagesPartial): void {
  const [mode] = event.name.split('|', 1);
  if (mode === 'messages') partial.add(event.data);
  if (mode === 'metadata') partial.discard(metadataEvent.parse(JSON.parse(event.data)).discard ?? []);
}

function ofMode(mode: string, event: RunEvent, view: StreamView, snapshotFollows: boolean): SseEvent[] {
  const asStored = { event: event.name, data: event.data };
  if (mode !== 'messages') {
    const wanted = view.modes.includes(mode as StreamMode) || (snapshotFollows && event.name === 'values');
    return wanted ? [asStored] : [];
  }
  const made: SseEvent[] = view.partial?.add(event.data) ?? [];
  if (view.modes.includes('messages-tuple')) made.push(asStored);
  return made;
}

function atEnd(event: RunEvent, view: StreamView): SseEvent[] {
  const { status, error } = endEvent.parse(JSON.parse(event.data));
  if (status === 'failed') return [{ event: 'error', data: JSON.stringify(wireError(error)) }];
  // A message that was cut off with its run is not complete.
  return status === 'cancelled' ? [] : (view.partial?.end() ?? []);
}
