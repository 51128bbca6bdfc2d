import { createHash } from 'node:crypto';

/** The namespace in which the LangGraph Agent Server names default assistants. */
const NAMESPACE = Buffer.from('6ba7b8219dad11d180b400c04fd430c8', 'hex');

/** The id of a graph's default assistant: the UUIDv5 (RFC 9562) of its name, the same as the Agent Server's. */
export function assistantIdOf(graph: string): string {
  const bytes = createHash('sha1').update(NAMESPACE).update(graph, 'utf8').digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
