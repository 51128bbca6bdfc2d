import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { type ContentBlock, isSpecType } from '@modelcontextprotocol/server';
import type { ToolResult } from './tool-call.ts';

/**
 * What a graph that is no conversation answers in more than words: an `answer` or `output` that is a list of texts, images,
 * audio and resources. LangChain's standard blocks of text, images and audio in base64 have MCP's form.
 *
 * @returns undefined when it has none, or a block of it is not MCP's
 */
export function contentOf({ answer, output }: JsonObject): ContentBlock[] | undefined {
  const blocks = typeof answer === 'string' ? undefined : (answer ?? output);
  if (!Array.isArray(blocks) || blocks.length === 0) return undefined;
  const content: ContentBlock[] = [];
  for (const block of blocks) {
    if (!isSpecType.ContentBlock(block)) return undefined;
    content.push(block);
  }
  return content;
}

/**
 * The last message of a conversation: its words, images and sound, and links to what is elsewhere. What else models put into
 * theirs (reasoning, calls of tools) is nothing that they say.
 *
 * @returns undefined when it has nothing of that kind
 */
export function lastMessageOf({ messages }: JsonObject): ContentBlock[] | undefined {
  const last = Array.isArray(messages) ? (messages.at(-1) as { content?: Json } | undefined) : undefined;
  if (!Array.isArray(last?.content)) return undefined;
  const blocks = last.content.flatMap((block) => toBlock(block) ?? []);
  return blocks.length > 0 ? blocks : undefined;
}

/** A block of a message, in LangChain's standard form or one of those that providers have, as MCP's; undefined when it is none. */
function toBlock(block: Json): ContentBlock | undefined {
  if (typeof block === 'string') return { type: 'text', text: block };
  if (!isObject(block)) return undefined;
  const made = madeOf(block);
  return isSpecType.ContentBlock(made) ? made : undefined;
}

function madeOf(block: JsonObject): JsonObject | undefined {
  const { type, data, image_url: image, source } = block;
  const mimeType = block.mimeType ?? block.mime_type;
  switch (type) {
    case 'text':
      return { type, text: block.text ?? '' };
    case 'image':
    case 'audio':
      if (isObject(source)) return { type, data: source.data ?? '', mimeType: source.media_type ?? '' };
      return typeof data === 'string'
        ? { type, data, mimeType: mimeType ?? '' }
        : linked(block.url, mimeType);
    case 'image_url':
      return linked(isObject(image) ? image.url : image);
    default:
      return block;
  }
}

const DATA_URL = /^data:((image|audio)\/[^;,]+)(?:;[^;,]+)*;base64,(.*)$/s;

function linked(url: Json | undefined, mimeType?: Json): JsonObject | undefined {
  if (typeof url !== 'string') return undefined;
  if (url.startsWith('data:')) {
    const [, ownType, type, data] = DATA_URL.exec(url) ?? [];
    return type && data && ownType ? { type, data, mimeType: ownType } : undefined;
  }
  const name = URL.canParse(url) ? new URL(url).pathname.split('/').at(-1) || url : url;
  return { type: 'resource_link', uri: url, name, ...(mimeType !== undefined && { mimeType }) };
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The revision that brought links to resources. */
const KNOWS_LINKS = '2025-06-18';

/** The result of a call for a client that may know no links: they are text then. @param revision as its request names it */
export function withKnownContent(result: ToolResult, revision: string | null): ToolResult {
  if (!('content' in result) || (revision !== null && revision >= KNOWS_LINKS)) return result;
  const content = result.content as ContentBlock[];
  return {
    ...result,
    content: content.map((one) => (one.type === 'resource_link' ? { type: 'text', text: one.uri } : one)),
  };
}
