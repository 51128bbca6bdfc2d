/** What a graph knows about a checkpoint and its bytes do not tell. */
export interface CheckpointDescription {
  /** The tasks that run next, as LangGraph prepared them for this checkpoint. */
  tasks: { id: string; name: string }[];
  /** The channels that are the graph's output, in the graph's order. */
  channels: string[];
  /** Values of channels that nobody has written yet: defaults, which a checkpoint does not store. */
  defaults?: Record<string, unknown>;
}
