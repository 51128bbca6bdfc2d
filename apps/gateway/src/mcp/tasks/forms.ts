import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import { type ElicitRequestFormParams, isSpecType, type JsonSchemaType } from '@modelcontextprotocol/server';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv';
import { approvalForm } from './approval-form.ts';

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

export interface Form {
  message: string;
  /** A flat object. */
  schema: ElicitRequestFormParams['requestedSchema'];
  /** What comes of it, filled in. */
  outcome: (content: JsonObject) => FormOutcome;
}

/**
 * The form of a question. An interrupt whose value has a `requestedSchema` that MCP allows (a flat object) is asked with
 * that one, and gets what was filled in. That of LangChain's human-in-the-loop middleware gets its decisions. Any other is asked
 * for one text, and gets that.
 */
export function formOf(question: Question): InputRequest {
  const { message, schema: requestedSchema } = makeForm(question);
  return { method: 'elicitation/create', params: { mode: 'form', message, requestedSchema } };
}

/** @param response the client's `ElicitResult`, unchecked */
export function outcomeOfForm(question: Question, response: unknown): FormOutcome {
  if (!isSpecType.ElicitResult(response)) {
    return { kind: 'fault', text: 'must be {"action": "accept", "content": {…}}, "decline" or "cancel"' };
  }
  if (response.action === 'decline') return { kind: 'declined' };
  if (response.action !== 'accept') return { kind: 'open' };
  return makeForm(question).outcome((response.content ?? {}) as JsonObject);
}

function makeForm(question: Question): Form {
  switch (question.kind) {
    case 'breakpoint':
      return breakpointForm(question);
    case 'unknown_effect':
      return effectForm(question);
    case 'interrupt':
      return ownForm(question) ?? approvalForm(question.value) ?? textForm(question);
  }
}

function ownForm(question: Question): Form | undefined {
  const { value } = question;
  if (!isObject(value)) return undefined;
  const params: unknown = { mode: 'form', message: '', requestedSchema: value.requestedSchema };
  if (!isSpecType.ElicitRequestFormParams(params)) return undefined;
  const schema = params.requestedSchema;
  return {
    message: said(question),
    schema,
    outcome: (content) => {
      const { valid, errorMessage } = new AjvJsonSchemaValidator().getValidator(schema as JsonSchemaType)(
        content,
      );
      return valid
        ? { kind: 'answer', answer: content }
        : { kind: 'fault', text: `content: ${errorMessage}` };
    },
  };
}

function textForm(question: Question): Form {
  return {
    message: said(question),
    schema: {
      type: 'object',
      properties: { answer: { type: 'string', title: 'Answer' } },
      required: ['answer'],
    },
    outcome: (content) => ({ kind: 'answer', answer: content.answer ?? content }),
  };
}

function breakpointForm({ node }: Question): Form {
  return {
    message: `May it go on past the breakpoint at "${node}"?`,
    schema: {
      type: 'object',
      properties: { confirm: { type: 'boolean', title: 'Go on' } },
      required: ['confirm'],
    },
    // Who does not say yes has not said it.
    outcome: ({ confirm }) => (confirm === true ? { kind: 'answer', answer: true } : { kind: 'declined' }),
  };
}

function effectForm({ value }: Question): Form {
  return {
    message: `Nobody knows whether this call was made: ${JSON.stringify(value ?? null)}`,
    schema: {
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
    },
    outcome: ({ action, result }) => {
      if (action === 'repeat' || action === 'fail') return { kind: 'answer', answer: { action } };
      if (action === 'skip') return { kind: 'answer', answer: { action, result: result ?? '' } };
      return { kind: 'fault', text: 'content.action must be repeat, skip or fail' };
    },
  };
}

/** What an interrupt says to a person, where its value is made as most are. */
function said({ node, value }: Question): string {
  if (typeof value === 'string') return value;
  const words = isObject(value) ? [value.message, value.question, value.description] : [];
  const found = words.find((one) => typeof one === 'string');
  return found ?? `"${node}" asks: ${JSON.stringify(value ?? null)}`;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
