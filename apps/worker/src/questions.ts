import { createHash } from 'node:crypto';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Json } from '@millrace/shared/contract/json';
import type { Question, RunRequest } from '@millrace/shared/contract/run';
import { toWireJson } from '@millrace/shared/wire-json';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import { answersHeld, type PendingTask, type Standing } from './standing.ts';

/**
 * What a thread asks where it stands.
 *
 * @param stopped whether a breakpoint of the root graph holds it, and not an error or a crash
 */
export async function openQuestions(
  saver: RedisSaver,
  thread: string,
  standing: Standing,
  stopped: boolean,
): Promise<Question[]> {
  const { checkpointId, pending } = standing;
  const asking = pending.filter((task) => task.interrupts.length > 0);
  const held = pending.filter(isHeldInside);
  if (asking.length === 0) {
    const nodes = (stopped ? pending : held).map((task) => task.name).sort();
    return nodes.length === 0 ? [] : [breakpoint(checkpointId, nodes, held)];
  }
  const answers = await answersHeld(saver, thread, pending);
  const questions: Question[] = asking.flatMap((task) =>
    task.interrupts.map((interrupt) => ({
      id: questionId(checkpointId, interrupt.id, answers.get(interrupt.id) ?? 0),
      kind: 'interrupt' as const,
      node: task.name,
      interruptId: interrupt.id,
      value: JSON.parse(toWireJson(interrupt.value)) as Json,
    })),
  );
  if (held.length > 0) questions.push(breakpoint(checkpointId, held.map((task) => task.name).sort(), held));
  return questions;
}

/** What lets a step go on lets all of it, so beside a question about that no other can be answered alone. */
export function onlyTogether(questions: Question[]): boolean {
  return questions.length > 1 && questions.some((one) => one.kind !== 'interrupt');
}

/** One for the step: it goes on as a whole, so half a yes would let the other half pass. */
function breakpoint(checkpointId: string, nodes: string[], held: PendingTask[]): Question {
  const inside = held.map((task) => task.inside?.standing.checkpointId).sort();
  return {
    id: questionId(checkpointId, `breakpoint ${inside}`, 0),
    kind: 'breakpoint',
    node: nodes.join(', '),
  };
}

/** The same for the same question however often it is computed, and never for another. */
export function questionId(checkpointId: string, interruptId: string, answersHeld: number): string {
  return createHash('sha256')
    .update(JSON.stringify([checkpointId, interruptId, answersHeld]))
    .digest('base64url')
    .slice(0, 22);
}

/** Whether a thread that stands here was stopped by a breakpoint, before its next step or after its last one. */
export function atBreakpoint(graph: ExecutableGraph, request: RunRequest, standing: Standing): boolean {
  const before = request.interruptBefore ?? graph.interruptBefore;
  const after = request.interruptAfter ?? graph.interruptAfter;
  return standsAt(standing, before, after);
}

/** Whether a sub-graph within this task, at any depth, was stopped by a breakpoint of its own. */
export function isHeldInside({ inside }: PendingTask): boolean {
  if (!inside || inside.standing.pending.length === 0) return false;
  const { graph, standing } = inside;
  return (
    standsAt(standing, graph.interruptBefore, graph.interruptAfter) || standing.pending.some(isHeldInside)
  );
}

function standsAt(standing: Standing, before: NodeNames, after: NodeNames): boolean {
  return (
    standing.pending.some((task) => names(before, task.name)) ||
    standing.finished.some((node) => names(after, node))
  );
}

type NodeNames = '*' | readonly unknown[] | undefined;

function names(list: NodeNames, node: string): boolean {
  // `*` means the graph's nodes, not what LangGraph keeps among them for itself.
  return list === '*' ? !node.startsWith('__') : (list?.includes(node) ?? false);
}
