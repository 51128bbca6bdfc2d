/** What LangChain's messages and chunks can do, without importing LangChain. */
interface Message {
  toDict: () => { type: string; data: Record<string, unknown> };
}

function isMessage(value: unknown): value is Message {
  return (
    typeof value === 'object' && value !== null && 'toDict' in value && typeof value.toDict === 'function'
  );
}

/**
 * JSON as the LangGraph Agent Server sends it: messages are plain objects (`{type: "ai", content, id, …}`), not
 * LangChain's serialization envelopes; errors are `{name, message}`.
 *
 * @returns `null` (the text) for what JSON cannot say at all
 */
export function toWireJson(value: unknown): string {
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key: string, plain: unknown) {
    // `plain` has been through toJSON already; the holder has the object itself.
    const raw = this[key];
    if (isMessage(raw)) {
      const { type, data } = raw.toDict();
      return { ...data, type };
    }
    if (raw instanceof Error) return { name: raw.name, message: raw.message };
    if (raw instanceof Map) return Object.fromEntries(raw);
    if (raw instanceof Set) return [...raw];
    if (typeof plain === 'bigint') return plain.toString();
    return plain;
  });
  return text ?? 'null';
}
