/** A JSON-RPC message, as far as it matters here. */
export interface Message {
  jsonrpc?: string;
  id?: unknown;
  method?: string;
  params?: { notifications?: object; [name: string]: unknown };
  result?: object;
}

/** The messages of an event stream, until it ends or `signal` aborts. */
export async function* messagesOf(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Message, void> {
  const reader = body.getReader();
  const leave = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (text + decoder.decode(value, { stream: true })).split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '));
        if (data !== undefined) yield JSON.parse(data.slice('data: '.length)) as Message;
      }
    }
  } finally {
    signal.removeEventListener('abort', leave);
    leave();
  }
}
