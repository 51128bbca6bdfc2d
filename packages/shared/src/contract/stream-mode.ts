/**
 * What a client can ask a run to stream. Names as on the LangGraph Agent Server: `messages-tuple` is
 * LangGraph's own `messages` mode; `messages` is made from it for the client (see the gateway).
 */
export const streamModes = [
  'values',
  'updates',
  'messages',
  'messages-tuple',
  'custom',
  'debug',
  'tasks',
  'checkpoints',
] as const;
export type StreamMode = (typeof streamModes)[number];
