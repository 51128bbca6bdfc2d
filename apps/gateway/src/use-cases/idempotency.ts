import { createHash } from 'node:crypto';
import { Refusal } from '@millrace/shared/contract/error';

/** The key was used with another request. */
export function idempotencyConflict(): Refusal {
  return new Refusal(
    'idempotency_conflict',
    'This Idempotency-Key was used with another request; use a new key',
    {
      field: 'Idempotency-Key',
    },
  );
}

/** Of a JSON value, whatever the order of its keys. */
export function hashOf(value: unknown): string {
  const sorted = JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
  return createHash('sha256')
    .update(sorted ?? '')
    .digest('base64url');
}
