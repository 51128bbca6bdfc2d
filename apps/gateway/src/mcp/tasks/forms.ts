import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import { type ElicitRequestFormParams, isSpecType, type JsonSchemaType } from '@modelcontextprotocol/server';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv';

/** A question as a form that a person fills in: MCP's `elicitation/create`. */
export interface InputRequest {
  method: 'elicitation/create';
  params: ElicitRequestFormParams;
}

/** What became of a form. `open`: nothing was said, and the question stands. */
export type FormOutcome =
  | { kind: 'answer'; answer: Json }
  | { kind: 'declined' }
  | { kind: 'open' }
  | { kind: 'fault'; text: string };

type Schema = ElicitRequestFormParams['requestedSchema'];

const anyAnswer: Schema = {
  type: 'object',
  properties: { answer: { type: 'string', title: 'Answer' } },
  required: ['answer'],
};

const mayItGoOn: Schema = {
  type: 'object',
  properties: { confirm: { type: 'boolean', title: 'Go on' } },
  required: ['confirm'],
};

const whatAboutEffect: Schema = {
  type: 'object',
  properties: {
    action: {
      type: 'string',
      title: 'What to do about the call',
      oneOf: [
        { const: 'repeat', title: 'Call the tool again' },
        { const: 'skip', title: 'Do not call it; it returned what "result" says' },
        { const: 'fail', title: 'Give the run up' },
      ],
    },
    result: { type: 'string', title: 'What the tool returned, when it is not called again' },
  },
  required: ['action'],
};

/**
 * The form of a question. An interrupt whose value has a `requestedSchema` that MCP allows (a flat object) is asked with
 * that one, and gets what was filled in; any other is asked for one text, and gets that.
 */
export function formOf(question: Question): InputRequest {
  return {
    method: 'elicitation/create',
    params: { mode: 'form', message: messageOf(question), requestedSchema: schemaOf(question) },
  };
}

/** @param response the client's `ElicitResult`, unchecked */
export function outcomeOfForm(question: Question, response: unknown): FormOutcome {
  if (!isSpecType.ElicitResult(response)) {
    return { kind: 'fault', text: 'must be {"action": "accept", "content": {…}}, "decline" or "cancel"' };
  }
  if (response.action === 'decline') return { kind: 'declined' };
  if (response.action !== 'accept') return { kind: 'open' };
  const content = (response.content ?? {}) as JsonObject;
  const own = ownSchema(question);
  if (own) {
    const { valid, errorMessage } = new AjvJsonSchemaValidator().getValidator(own as JsonSchemaType)(content);
    return valid ? { kind: 'answer', answer: content } : { kind: 'fault', text: `content: ${errorMessage}` };
  }
  switch (question.kind) {
    case 'interrupt':
      return { kind: 'answer', answer: 'answer' in content ? (content.answer ?? null) : content };
    case 'breakpoint':
      // A person who does not say yes has not said it.
      return content.confirm === true ? { kind: 'answer', answer: true } : { kind: 'declined' };
    case 'unknown_effect':
      return effectAnswer(content);
  }
}

function effectAnswer({ action, result }: JsonObject): FormOutcome {
  if (action === 'repeat' || action === 'fail') return { kind: 'answer', answer: { action } };
  if (action === 'skip') return { kind: 'answer', answer: { action, result: result ?? '' } };
  return { kind: 'fault', text: 'content.action must be repeat, skip or fail' };
}

function schemaOf(question: Question): Schema {
  const own = ownSchema(question);
  if (own) return own;
  if (question.kind === 'breakpoint') return mayItGoOn;
  return question.kind === 'unknown_effect' ? whatAboutEffect : anyAnswer;
}

function ownSchema({ kind, value }: Question): Schema | undefined {
  if (kind !== 'interrupt' || !isObject(value)) return undefined;
  const params: unknown = { mode: 'form', message: '', requestedSchema: value.requestedSchema };
  return isSpecType.ElicitRequestFormParams(params) ? params.requestedSchema : undefined;
}

function messageOf({ kind, node, value }: Question): string {
  if (kind === 'breakpoint') return `May it go on past the breakpoint at "${node}"?`;
  if (typeof value === 'string') return value;
  if (!isObject(value)) return `"${node}" asks: ${JSON.stringify(value ?? null)}`;
  const said = [value.message, value.question, value.description].find((one) => typeof one === 'string');
  if (said !== undefined && kind === 'interrupt') return said;
  const what = kind === 'unknown_effect' ? 'Nobody knows whether this call was made' : `"${node}" asks`;
  return `${what}: ${JSON.stringify(value)}`;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
