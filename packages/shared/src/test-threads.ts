import { partitionOfThread } from './partition.ts';

/** Names of threads whose keys are together, `thread-0` first. For tests only. */
export function* threadsOfOnePartition(): Generator<string, never> {
  for (let n = 0; ; n++) {
    if (partitionOfThread(`thread-${n}`) === partitionOfThread('thread-0')) yield `thread-${n}`;
  }
}
