import type { Place } from '@millrace/shared/tenant-list';

/** A place in a list as clients get it, to ask for what comes after it. */
export function cursorOf({ score, id }: Place): string {
  return `${score}_${id}`;
}

/** @returns undefined when it is no cursor of ours */
export function placeOf(cursor: string): Place | undefined {
  const [, score, id] = /^(\d{1,16})_([0-9a-f-]{36})$/.exec(cursor) ?? [];
  return score === undefined || id === undefined ? undefined : { score: Number(score), id };
}
