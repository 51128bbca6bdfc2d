import { Refusal } from '@millrace/shared/contract/error';

/** How long a caller will wait, in milliseconds. */
export interface Wait {
  ms: number;
  /** The caller asked for it, and this is what it gets: the value of `Preference-Applied`. */
  applied?: string;
}

/**
 * How long to wait by the `wait` preference of RFC 7240, in seconds; `respond-async` alone is not at all. What is
 * preferred beyond that is not known here and passed over, as the RFC has it.
 *
 * @throws Refusal when `wait` is no whole number
 */
export function waitOf(header: string | undefined, limits: { defaultMs: number; maxMs: number }): Wait {
  const preferences = (header ?? '').split(',').map((one) => one.split(';')[0]?.trim() ?? '');
  const wait = preferences.find((one) => /^wait\s*(=|$)/i.test(one));
  if (wait !== undefined) {
    const ms = secondsOf(
      wait.replace(/^wait\s*=?\s*/i, '').replace(/^"(.*)"$/, '$1'),
      'Prefer',
      limits.maxMs,
    );
    return { ms, applied: `wait=${ms / 1000}` };
  }
  if (preferences.some((one) => /^respond-async$/i.test(one))) return { ms: 0, applied: 'respond-async' };
  return { ms: limits.defaultMs };
}

/**
 * Whole seconds as milliseconds, `maxMs` at most.
 *
 * @throws Refusal naming `field`
 */
export function secondsOf(text: string, field: string, maxMs: number): number {
  if (!/^\d{1,9}$/.test(text)) {
    throw new Refusal('invalid_request', `${field}: wait must be a whole number of seconds, as wait=20`, {
      field,
    });
  }
  return Math.min(Number(text) * 1000, maxMs);
}
