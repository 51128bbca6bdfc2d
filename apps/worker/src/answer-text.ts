import { toWireJson } from '@millrace/shared/wire-json';

/**
 * What a finished run has to say, in words: the last message of a conversation, else a text named `answer` or
 * `output`, else the whole output as JSON.
 */
export function answerText(values: Record<string, unknown>): string {
  const { messages } = values;
  if (Array.isArray(messages) && messages.length > 0) return textOf(messages.at(-1));
  for (const name of ['answer', 'output']) if (typeof values[name] === 'string') return values[name];
  return toWireJson(values);
}

function textOf(message: { content?: unknown } | undefined): string {
  const content = message?.content;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return toWireJson(content);
  return content
    .map((block: unknown) => {
      if (typeof block === 'string') return block;
      const text = (block as { text?: unknown } | null)?.text;
      return typeof text === 'string' ? text : '';
    })
    .join('');
}
