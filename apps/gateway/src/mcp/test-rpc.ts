/** What a request came back with. */
export interface Answer {
  status: number;
  headers: Headers;
  /** The JSON-RPC response, out of JSON or the event stream; undefined when there is none. */
  body:
    | { result?: Record<string, unknown>; error?: { code: number; message: string; data?: unknown } }
    | undefined;
}

export const rpc = (method: string, params?: unknown) => ({
  jsonrpc: '2.0',
  id: 1,
  method,
  ...(params ? { params } : {}),
});

export const envelope = (revision: string, capabilities: object = {}) => ({
  'io.modelcontextprotocol/protocolVersion': revision,
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': capabilities,
});

/** The capabilities of a client that takes tasks. */
export const tasks = { extensions: { 'io.modelcontextprotocol/tasks': {} } };

export async function send(
  url: URL,
  body: unknown,
  headers: Record<string, string | undefined> = {},
  { method = 'POST', signal }: { method?: string; signal?: AbortSignal | undefined } = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...(signal && { signal }),
    headers: given({
      ...(method === 'POST' && { 'content-type': 'application/json' }),
      accept: 'application/json, text/event-stream',
      ...headers,
    }),
    ...(method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const last = text.split('\n').findLast((line) => line.startsWith('data: '));
  const json = response.headers.get('content-type')?.startsWith('application/json') ? text : last?.slice(6);
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(json) : undefined };
}

const given = (headers: Record<string, string | undefined>) =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, one]) => (one === undefined ? [] : [[name, one]])),
  );

/** Headers of a request of revision 2026-07-28. */
export function modernHeaders(method: string, { name, taskId }: Record<string, unknown>) {
  const about = name ?? taskId;
  return {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    ...(typeof about === 'string' && { 'mcp-name': about }),
  };
}

/** Sends a request of revision 2026-07-28. */
export function modern(
  url: URL,
  method: string,
  { _meta, ...params }: { _meta?: object; [name: string]: unknown } = {},
  options: { capabilities?: object; headers?: Record<string, string | undefined>; signal?: AbortSignal } = {},
): Promise<Answer> {
  const { capabilities = {}, headers = {}, signal } = options;
  return send(
    url,
    rpc(method, { ...params, _meta: { ..._meta, ...envelope('2026-07-28', capabilities) } }),
    { ...modernHeaders(method, params), ...headers },
    { signal },
  );
}

export interface Notification {
  id?: unknown;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
}

/** An open `subscriptions/listen` of revision 2026-07-28. */
export interface Listening {
  /** The next message; undefined when the stream has ended. */
  next: () => Promise<Notification | undefined>;
  close: () => void;
}

export async function listen(
  url: URL,
  notifications: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<Listening> {
  const closing = new AbortController();
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...modernHeaders('subscriptions/listen', {}),
      ...headers,
    },
    body: JSON.stringify(
      rpc('subscriptions/listen', { notifications, _meta: envelope('2026-07-28', tasks) }),
    ),
    signal: closing.signal,
  });
  if (!response.body) throw new Error('no stream');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    next: async () => {
      for (;;) {
        const line = /^data: (.*)\n/m.exec(text);
        if (line?.[1] !== undefined) {
          text = text.slice(line.index + line[0].length);
          return JSON.parse(line[1]) as Notification;
        }
        const { done, value } = await reader.read();
        if (done) return undefined;
        text += value;
      }
    },
    close: () => closing.abort(),
  };
}
