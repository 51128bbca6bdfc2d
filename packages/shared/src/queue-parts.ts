/**
 * A queue may have parts for some of the tenants: `default.gold` is a part of `default`. The name of a graph's own queue has no
 * dot, so the two are never taken for each other.
 */
export function partOfQueue(queue: string, part: string): string {
  return `${queue}.${part}`;
}

/** The queue that one is a part of; itself when it is none. */
export function wholeQueueOf(queue: string): string {
  return queue.replace(/\..*/, '');
}
