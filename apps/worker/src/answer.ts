import type { Finish } from '@millrace/shared/run-moves';
import { toWireJson } from '@millrace/shared/wire-json';

/**
 * What a finished run has to say, in words: the last message of a conversation, else a text named `answer` or
 * `output`, else the whole output as JSON; and whether that message has images or the like besides.
 */
export function finalAnswer(values: Record<string, unknown>): Pick<Finish, 'answer' | 'media'> {
  const { messages } = values;
  if (Array.isArray(messages) && messages.length > 0) {
    const content: unknown = messages.at(-1)?.content;
    return { answer: textOf(content), ...(hasMedia(content) && { media: true }) };
  }
  for (const name of ['answer', 'output'])
    if (typeof values[name] === 'string') return { answer: values[name] };
  return { answer: toWireJson(values) };
}

const MEDIA = ['image', 'image_url', 'audio', 'resource', 'resource_link'];

function hasMedia(content: unknown): boolean {
  return Array.isArray(content) && content.some((block) => MEDIA.includes(block?.type));
}

function textOf(content: unknown): string {
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
