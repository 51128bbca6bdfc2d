import { createHash } from 'node:crypto';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Json } from '@millrace/shared/contract/json';
import type { Question, RunRequest } from '@millrace/shared/contract/run';
import { toWireJson } from '@millrace/shared/wire-json';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import { answersHeld, type Standing } from './standing.ts';

/**
 * What a thread asks where it stands. Interrupts come first: a step that asks has been started, so no breakpoint
 * holds it.
 */
export async function openQuestions(
  saver: RedisSaver,
  thread: string,
  standing: Standing,
): Promise<Question[]> {
  const asking = standing.pending.filter((task) => task.interrupts.length > 0);
  if (asking.length === 0) {
    const nodes = standing.pending.map((task) => task.name).sort();
    if (nodes.length === 0) return [];
    // One for the step: it goes on as a whole, so half a yes would let the other half pass.
    return [
      { id: questionId(standing.checkpointId, 'breakpoint', 0), kind: 'breakpoint', node: nodes.join(', ') },
    ];
  }
  const held = await answersHeld(saver, thread);
  return asking.flatMap((task) =>
    task.interrupts.map((interrupt) => ({
      id: questionId(standing.checkpointId, interrupt.id, held.get(interrupt.id) ?? 0),
      kind: 'interrupt' as const,
      node: task.name,
      interruptId: interrupt.id,
      value: JSON.parse(toWireJson(interrupt.value)) as Json,
    })),
  );
}

/** The same for the same question however often it is computed, and never for another. */
function questionId(checkpointId: string, interruptId: string, answersHeld: number): string {
  return createHash('sha256')
    .update(JSON.stringify([checkpointId, interruptId, answersHeld]))
    .digest('base64url')
    .slice(0, 22);
}

/** Whether a thread that stands here was stopped by a breakpoint, before its next step or after its last one. */
export function atBreakpoint(graph: ExecutableGraph, request: RunRequest, standing: Standing): boolean {
  const before = request.interruptBefore ?? graph.interruptBefore;
  const after = request.interruptAfter ?? graph.interruptAfter;
  return (
    standing.pending.some((task) => names(before, task.name)) ||
    standing.finished.some((node) => names(after, node))
  );
}

function names(list: '*' | readonly unknown[] | undefined, node: string): boolean {
  return list === '*' || (list?.includes(node) ?? false);
}
