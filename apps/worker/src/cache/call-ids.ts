import { randomInt } from 'node:crypto';

/** Names under which messages of all providers hold the id of a tool's call, or refer to one. */
const ID_NAME = /^(?:id|.*_id)$/;

/** A copy in which ids have other names: where they stand as an id, and where they are the name of a property. */
export function renameIds(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((one) => renameIds(one, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      names.get(name) ?? name,
      typeof one === 'string' && ID_NAME.test(name) ? (names.get(one) ?? one) : renameIds(one, names),
    ]),
  );
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Another id of the same form: some providers want theirs of a certain length or with a certain beginning. */
export function freshId(id: string): string {
  const kept = Math.max(id.lastIndexOf('_'), id.lastIndexOf('-')) + 1;
  const own = id.length - kept;
  const length = own < 9 ? 24 : own;
  return id.slice(0, kept) + Array.from({ length }, () => LETTERS[randomInt(LETTERS.length)]).join('');
}
