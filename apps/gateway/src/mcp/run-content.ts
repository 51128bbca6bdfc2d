import type { JsonObject } from '@millrace/shared/contract/json';
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
