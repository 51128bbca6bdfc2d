import type { ChannelVersions, CheckpointMetadata } from '@langchain/langgraph-checkpoint';
import { encodePart } from './keys.ts';

/** Channels of LangGraph's own, which are empty between steps. */
const INTERNAL_CHANNEL = /^(__|branch:|start:|join:)/;

/**
 * The root checkpoint whose task a sub-graph is part of: '' when it belongs to no single task (its namespace
 * then has no task id), '*' for the root's head.
 */
export function ownerOf(checkpointNs: string, metadata: CheckpointMetadata): string {
  if (!checkpointNs.includes(':')) return '';
  const root = metadata.parents?.[''];
  return root ? encodePart(root) : '*';
}

/**
 * The channels that may be replayed from ancestors. A step of the graph counts them; a state edit does not, so
 * there a changed channel without a value may be one.
 */
export function deltaChannels(
  metadata: CheckpointMetadata,
  values: Record<string, unknown>,
  newVersions: ChannelVersions,
): string[] {
  const counted = Object.keys(metadata.counters_since_delta_snapshot ?? {});
  if (metadata.source !== 'update') return counted;
  const edited = Object.keys(newVersions).filter(
    (channel) => !(channel in values) && !INTERNAL_CHANNEL.test(channel),
  );
  return [...new Set([...counted, ...edited])];
}
