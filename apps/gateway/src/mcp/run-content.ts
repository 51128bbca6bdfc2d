import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { type ContentBlock, isSpecType } from '@modelcontextprotocol/server';

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

/** LangChain's block of a message, in its standard form or one of those that providers have, as MCP's. */
function toBlock(block: Json): ContentBlock | undefined {
  if (typeof block === 'string') return { type: 'text', text: block };
  if (typeof block !== 'object' || block === null || Array.isArray(block)) return undefined;
  const { type, data, mimeType = block.mime_type ?? null } = block;
  switch (type) {
    case 'text':
      return typeof block.text === 'string' ? { type, text: block.text } : undefined;
    case 'image':
    case 'audio':
      if (typeof data === 'string' && typeof mimeType === 'string') return { type, data, mimeType };
      return linked(block.url, mimeType);
    case 'image_url': {
      const { image_url: image } = block;
      return linked(typeof image === 'object' && image !== null && 'url' in image ? image.url : image, null);
    }
    default:
      return isSpecType.ContentBlock(block) ? block : undefined;
  }
}

const DATA_URL = /^data:((image|audio)\/[^;,]+);base64,(.*)$/s;

function linked(url: Json | undefined, mimeType: Json): ContentBlock | undefined {
  if (typeof url !== 'string') return undefined;
  const [, ownType, type, data] = DATA_URL.exec(url) ?? [];
  if (ownType !== undefined && data !== undefined) {
    return { type: type === 'audio' ? 'audio' : 'image', data, mimeType: ownType };
  }
  const name = URL.canParse(url) ? new URL(url).pathname.split('/').at(-1) || url : url;
  return { type: 'resource_link', uri: url, name, ...(typeof mimeType === 'string' && { mimeType }) };
}
