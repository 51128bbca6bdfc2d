export interface SseEvent {
  id: string;
  name: string;
  data: string;
}

/** The server-sent events of a response, as they come. */
export async function* events(response: Response): AsyncGenerator<SseEvent> {
  let buffer = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    buffer += chunk;
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const block = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      const field = (name: string) =>
        block
          .split('\n')
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2))
          .join('\n');
      if (field('event')) yield { id: field('id'), name: field('event'), data: field('data') };
    }
  }
}
