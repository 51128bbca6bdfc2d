import type { JsonObject } from '@millrace/shared/contract/json';
import {
  type ElicitRequestFormParams,
  inputResponse,
  isSpecType,
  type Tool,
} from '@modelcontextprotocol/server';
import type { InputRequest } from './tasks/forms.ts';

/** In the schema of an argument: when the model leaves it out, a person is asked for it before anything runs. */
const ASK_PERSON = 'x-ask-person';

/** The one request of a call whose arguments are not all there. */
const KEY = 'arguments';

type Schema = ElicitRequestFormParams['requestedSchema'];

/** @returns the form for what a person is to be asked, by its key; undefined when nothing is missing that is theirs to say */
export function formForMissing(tool: Tool, args: JsonObject): Record<string, InputRequest> | undefined {
  const { properties = {} } = tool.inputSchema;
  // Whether it is required or not: LangGraph makes no difference in what goes into a graph.
  const missing = Object.keys(properties).filter(
    (name) => !Object.hasOwn(args, name) && isAsked(properties[name]),
  );
  if (missing.length === 0) return undefined;
  const fields = missing.map((name) => {
    const { [ASK_PERSON]: _, ...schema } = properties[name] as JsonObject;
    return [name, schema] as const;
  });
  const params: unknown = {
    mode: 'form',
    message: `"${tool.title ?? tool.name}" needs to know more.`,
    requestedSchema: { type: 'object', properties: Object.fromEntries(fields), required: missing } as Schema,
  };
  // Forms are flat. What does not fit into one is for the model to give after all.
  if (!isSpecType.ElicitRequestFormParams(params)) return undefined;
  return { [KEY]: { method: 'elicitation/create', params: { ...params, mode: 'form' } } };
}

/**
 * The arguments with what a person has said.
 *
 * @returns undefined when the person would not say
 */
export function withAnswered(
  tool: Tool,
  args: JsonObject,
  responses: Record<string, unknown>,
): JsonObject | undefined {
  const view = inputResponse(responses, KEY);
  if (view.kind !== 'elicit') return args;
  if (view.action !== 'accept') return undefined;
  // Nothing else: the model has given the rest.
  const said = Object.entries(view.content ?? {}).filter(
    ([name]) => !Object.hasOwn(args, name) && isAsked(tool.inputSchema.properties?.[name]),
  );
  return { ...args, ...(Object.fromEntries(said) as JsonObject) };
}

function isAsked(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && Reflect.get(schema, ASK_PERSON) === true;
}
