import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A tool call that the scripted model makes. */
export interface ScriptedToolCall {
  name: string;
  args: Record<string, unknown>;
  id?: string;
}

/** An answer: text, tool calls, or both. With `stream: true` in the request it goes out word by word. */
export interface ScriptedReply {
  reply?: string;
  toolCalls?: ScriptedToolCall[];
  /** Awaited before each chunk of a stream, with its number from 0: makes a stream as slow as a test wants. */
  pace?: (chunk: number) => Promise<void> | void;
  /** Instead of the whole stream: this many chunks, then `ending`. */
  chunks?: number;
  /** How a cut stream goes on: says nothing more, drops the connection, or sends what is no JSON. */
  ending?: 'hang' | 'reset' | 'malformed';
}

/** What the server does with one request. */
export type ScriptedStep =
  | ScriptedReply
  /** An error response. */
  | { status: number; headers?: Record<string, string>; message?: string; code?: string }
  /** Takes the request and never answers. */
  | { hang: true }
  /** Drops the connection without an answer. */
  | { reset: true };

/** The steps for the first, second, … request, or a function that picks one. Past the end of a list: status 500. */
export type OpenAiScript =
  | readonly ScriptedStep[]
  | ((request: RecordedRequest, index: number) => ScriptedStep | Promise<ScriptedStep>);

/** A request as it came. */
export interface RecordedRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** The JSON body. */
  body: {
    model?: string;
    stream?: boolean;
    messages?: { role: string; content: unknown; tool_calls?: unknown[]; tool_call_id?: string }[];
    tools?: { function: { name: string } }[];
    [key: string]: unknown;
  };
  /** Resolves when the exchange is over, whoever ended it. */
  closed: Promise<void>;
}

/** A running server; see {@link startOpenAiServer}. */
export interface OpenAiServer {
  /** What goes into `MODEL_BASE_URL`, for example `http://127.0.0.1:49152/v1`. */
  baseUrl: string;
  /** All requests so far, oldest first. */
  requests: RecordedRequest[];
  /** Drops all connections and stops. */
  close(): Promise<void>;
}

/** Starts a server on a free loopback port that speaks OpenAI's `/v1/chat/completions` and does as the script says. */
export async function startOpenAiServer(script: OpenAiScript): Promise<OpenAiServer> {
  const requests: RecordedRequest[] = [];
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const part of request.setEncoding('utf8')) text += part;
    const recorded: RecordedRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: text === '' ? {} : (JSON.parse(text) as RecordedRequest['body']),
      closed: once(response, 'close').then(() => undefined),
    };
    const index = requests.push(recorded) - 1;
    if (recorded.method !== 'POST' || recorded.path !== '/v1/chat/completions') {
      return sendError(response, { status: 404, message: `No route ${recorded.method} ${recorded.path}` });
    }
    const scripted = typeof script === 'function' ? await script(recorded, index) : script[index];
    const step: ScriptedStep = scripted ?? { status: 500, message: `The script has no step ${index}` };
    if ('hang' in step) return;
    if ('reset' in step) request.socket.destroy();
    else if ('status' in step) sendError(response, step);
    else if (recorded.body.stream === true) await sendStream(response, step, recorded.body.model ?? 'test');
    else sendWhole(response, step, recorded.body.model ?? 'test');
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

let ids = 0;

function nextId(prefix: string): string {
  ids += 1;
  return `${prefix}_${ids}`;
}

function sendError(response: ServerResponse, step: Extract<ScriptedStep, { status: number }>): void {
  const { status, headers = {}, message = `Scripted status ${status}`, code = null } = step;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ error: { message, type: 'scripted_error', code, param: null } }));
}

function toolCallsOf(step: ScriptedReply) {
  return (step.toolCalls ?? []).map(({ name, args, id }) => ({
    id: id ?? nextId('call'),
    type: 'function',
    function: { name, arguments: JSON.stringify(args) },
  }));
}

function usageOf(step: ScriptedReply) {
  const completion = (step.reply?.split(' ').length ?? 0) + (step.toolCalls?.length ?? 0);
  return { prompt_tokens: 7, completion_tokens: completion, total_tokens: 7 + completion };
}

function sendWhole(response: ServerResponse, step: ScriptedReply, model: string): void {
  const calls = toolCallsOf(step);
  const message = {
    role: 'assistant',
    content: step.reply ?? null,
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(
    JSON.stringify({
      id: nextId('chatcmpl'),
      object: 'chat.completion',
      created: 0,
      model,
      choices: [{ index: 0, message, finish_reason: calls.length > 0 ? 'tool_calls' : 'stop' }],
      usage: usageOf(step),
    }),
  );
}

async function sendStream(response: ServerResponse, step: ScriptedReply, model: string): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.flushHeaders();
  const id = nextId('chatcmpl');
  const base = { id, object: 'chat.completion.chunk', created: 0, model };
  const chunks = chunksOf(step).map((choice) => ({ ...base, choices: [{ index: 0, ...choice }] }));
  const whole = [...chunks, { ...base, choices: [], usage: usageOf(step) }];
  for (const [index, chunk] of whole.slice(0, step.chunks ?? whole.length).entries()) {
    await step.pace?.(index);
    if (response.destroyed) return;
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  }
  if (step.ending === 'hang') return;
  if (step.ending === 'reset') {
    // The chunks must have left before the connection is dropped, or the client would see none of them.
    await new Promise((resolve) => response.write(': end\n\n', resolve));
    response.socket?.resetAndDestroy();
    return;
  }
  if (step.ending === 'malformed') response.write('data: {"choices": [{"delta": \n\n');
  response.end('data: [DONE]\n\n');
}

function chunksOf(step: ScriptedReply): { delta: object; finish_reason: string | null }[] {
  const calls = toolCallsOf(step);
  const words = step.reply?.match(/\s*\S+/g) ?? [];
  return [
    { delta: { role: 'assistant', content: '' }, finish_reason: null },
    ...words.map((content) => ({ delta: { content }, finish_reason: null })),
    ...calls.flatMap((call, index) => {
      const json = call.function.arguments;
      const middle = Math.ceil(json.length / 2);
      return [
        { ...call, index, function: { name: call.function.name, arguments: '' } },
        { index, function: { arguments: json.slice(0, middle) } },
        { index, function: { arguments: json.slice(middle) } },
      ].map((part) => ({ delta: { tool_calls: [part] }, finish_reason: null }));
    }),
    { delta: {}, finish_reason: calls.length > 0 ? 'tool_calls' : 'stop' },
  ];
}
