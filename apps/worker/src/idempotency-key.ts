import { createHash } from 'node:crypto';

/** What a node or a tool is given as its second argument, as far as it says who calls. */
interface CallConfig {
  configurable?: Record<string, unknown>;
  /** Of a tool that a model asked for. */
  toolCall?: { id?: string };
}

/**
 * Makes `configurable.idempotency_key`: a function of the config that a node or tool was given, to a key (43 letters,
 * digits, `-` or `_`) of the task, and of the tool call if it is one. Each attempt at a task gets the same.
 *
 * LangGraph derives a task's id from the checkpoint it starts from and puts it, with those of the tasks around it, into
 * `checkpoint_ns`. The chain keeps apart what two runs do from the same checkpoint, and holds together a run and
 * those that go on with its work.
 */
export function idempotencyKeyOf(chain: string): (config: CallConfig) => string {
  return (config) => {
    const task = config?.configurable?.checkpoint_ns;
    if (typeof task !== 'string' || task === '') {
      throw new TypeError('idempotency_key: give it the config that the node or tool was called with');
    }
    return createHash('sha256')
      .update(JSON.stringify([chain, task, config.toolCall?.id ?? '']))
      .digest('base64url');
  };
}
