import type { ContentBlock } from '@langchain/core/messages';
import type { CallToolResult } from '@modelcontextprotocol/client';

type Part = CallToolResult['content'][number];
/** As all of LangChain's providers take them. */
type Block = { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } };

/** What a message of a tool has: what the model reads, and what is kept beside it. */
export type ToolContent = [content: string | ContentBlock[], artifact: unknown];

/**
 * What a tool of MCP returned, for a model: texts and images. Of what models cannot read (sounds, files) they are told
 * that it is there; all of it is in the artifact, with structured content.
 */
export function toolContent({ content, structuredContent }: CallToolResult): ToolContent {
  const blocks = content.map(toBlock);
  const isText = content.every(({ type }) => type === 'text');
  // Servers are to say the same in text, for models; not all do.
  if (blocks.length === 0 && structuredContent !== undefined) {
    blocks.push({ type: 'text', text: JSON.stringify(structuredContent) });
  }
  const artifact =
    structuredContent === undefined && isText
      ? undefined
      : { ...(!isText && { content }), ...(structuredContent !== undefined && { structuredContent }) };
  const onlyTexts = blocks.flatMap((block) => (block.type === 'text' ? [block.text] : []));
  return [onlyTexts.length === blocks.length ? onlyTexts.join('\n\n') : blocks, artifact];
}

/** The text of a result that is an error. */
export function errorText(result: CallToolResult): string {
  const [content] = toolContent(result);
  return (
    (typeof content === 'string' ? content : JSON.stringify(content)) || 'the tool failed without a word'
  );
}

function toBlock(part: Part): Block {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text };
    case 'image':
      return image(part.mimeType, part.data);
    case 'audio':
      return binary(part.mimeType, part.data);
    case 'resource_link':
      return {
        type: 'text',
        text: [part.title ?? part.name, part.uri, part.description].filter(Boolean).join('\n'),
      };
    case 'resource': {
      const { uri, mimeType = 'application/octet-stream' } = part.resource;
      if ('text' in part.resource) return { type: 'text', text: part.resource.text };
      return mimeType.startsWith('image/')
        ? image(mimeType, part.resource.blob)
        : binary(mimeType, part.resource.blob, uri);
    }
  }
}

function image(mimeType: string, data: string): Block {
  return { type: 'image_url', image_url: { url: `data:${mimeType};base64,${data}` } };
}

function binary(mimeType: string, data: string, name = 'content'): Block {
  const bytes = Buffer.byteLength(data, 'base64');
  return { type: 'text', text: `(${name}: ${bytes} bytes of ${mimeType}, which cannot be shown here)` };
}
