import { Client } from '@langchain/langgraph-sdk';

export interface StreamPart {
  id?: string | undefined;
  event: string;
  data: unknown;
}

/** A stock client. A key from the environment would go to whatever server the tests start. */
export const clientOf = (apiUrl: string, options: { fetch?: typeof fetch } = {}) =>
  new Client({ apiUrl, apiKey: null, callerOptions: { maxRetries: 0, ...options } });

export async function all(stream: AsyncIterable<unknown>): Promise<StreamPart[]> {
  const parts: StreamPart[] = [];
  for await (const part of stream) parts.push(part as StreamPart);
  return parts;
}

export const dataOf = <T>(parts: StreamPart[], event: string) =>
  parts.filter((part) => part.event === event).map((part) => part.data as T);
