import type { RunError } from '@millrace/shared/contract/error';
import { modelFault } from './model/model-fault.ts';

/** LangGraph's and zod's errors that mean the caller's input was not what the graph takes. */
const INPUT_ERRORS = new Set(['EmptyInputError', 'ZodError', '$ZodError', 'InvalidUpdateError']);

/**
 * What a run's owner is told of an error that came out of the graph.
 *
 * @param began whether a step had been stored: after that, no error is the input's
 */
export function toRunError(error: unknown, began: boolean): RunError {
  const name = error instanceof Error ? error.name : 'Error';
  const message = error instanceof Error ? error.message : String(error);
  const fault = modelFault(error);
  if (fault) return { code: 'model_error', message: fault.message, name };
  // By name: the graph may have been made with another copy of LangGraph.
  if (name === 'GraphRecursionError') {
    return { code: 'recursion_limit', message: 'The run used up its steps without reaching an end.', name };
  }
  if (name === 'NodeNotFoundError' || name === 'UnreachableNodeError')
    return { code: 'graph_changed', message, name };
  if (!began && INPUT_ERRORS.has(name)) return { code: 'invalid_input', message, name };
  return { code: 'graph_error', message, name };
}
