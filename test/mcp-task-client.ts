import type { DetailedTask } from '../apps/gateway/src/mcp/tasks/task.ts';
import type { Fetch } from './mcp-client.ts';

const REVISION = '2026-07-28';

/** A plain client of MCP's tasks extension: the SDK's own has none yet. Each request goes where `fetch` sends it. */
export class TaskClient {
  readonly #fetch: Fetch;
  #id = 0;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** @returns the task that a call has become */
  async call(name: string, args: Record<string, unknown>): Promise<DetailedTask> {
    const result = await this.#ask('tools/call', { name, arguments: args });
    if (result.resultType !== 'task') throw new Error(`no task: ${JSON.stringify(result)}`);
    return result as unknown as DetailedTask;
  }

  async get(taskId: string): Promise<DetailedTask> {
    return (await this.#ask('tasks/get', { taskId })) as unknown as DetailedTask;
  }

  /** Polls until the task has the status. Throws when it is over in another way. */
  async until(taskId: string, status: DetailedTask['status']): Promise<DetailedTask> {
    for (;;) {
      const task = await this.get(taskId);
      if (task.status === status) return task;
      if (task.pollIntervalMs === undefined) throw new Error(`it is ${task.status}: ${JSON.stringify(task)}`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(task.pollIntervalMs ?? 0, 100)));
    }
  }

  async update(taskId: string, inputResponses: Record<string, unknown>): Promise<void> {
    await this.#ask('tasks/update', { taskId, inputResponses });
  }

  async cancel(taskId: string): Promise<void> {
    await this.#ask('tasks/cancel', { taskId });
  }

  /** Tasks as they are told of, until all are over. Throws when the stream breaks off. */
  async *listen(taskIds: string[]): AsyncGenerator<DetailedTask, void> {
    const response = await this.#send('subscriptions/listen', { notifications: { taskIds } });
    if (!response.ok || !response.body) throw new Error(`refused: ${response.status}`);
    let text = '';
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      text += part;
      for (let line = next(); line !== undefined; line = next()) {
        const { method, params, result } = JSON.parse(line);
        if (result) return;
        if (method === 'notifications/tasks') yield params;
      }
    }
    throw new Error('the stream broke off');

    function next(): string | undefined {
      const found = /^data: (.*)\n/m.exec(text);
      if (found) text = text.slice(found.index + found[0].length);
      return found?.[1];
    }
  }

  async #ask(method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    const response = await this.#send(method, params);
    const { result, error } = (await response.json()) as {
      result?: Record<string, unknown>;
      error?: { code: number; message: string };
    };
    if (!result) throw new Error(`${error?.code}: ${error?.message}`);
    return result;
  }

  #send(method: string, params: Record<string, unknown>): Promise<Response> {
    this.#id += 1;
    const about = params.name ?? params.taskId;
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
    };
    return this.#fetch('', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': REVISION,
        'mcp-method': method,
        ...(typeof about === 'string' && { 'mcp-name': about }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: this.#id, method, params: { ...params, _meta } }),
    });
  }
}
