import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import {
  createApplicationInputHandler,
  createTaskSessionFromClient,
  type JsonRpcResponse,
  resultFromTaskOutcome,
} from '@modelcontextprotocol/ext-tasks/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import type { Fetch } from '../mcp-client.ts';
import type { Fleet } from './fleet.ts';
import { scenarios } from './scenario.ts';

/** Stock clients of MCP whose tasks go on while what serves them is killed. */

const start = scenarios();
const nowhere = new URL('http://gateways.test/mcp');
const REVISION = '2026-07-28';

/** As a load balancer: to the next gateway that is there, and to another when one dies before it has answered. */
function balanced({ gateways }: Fleet): Fetch {
  let turn = 0;
  const send: Fetch = async (url, init) => {
    turn += 1;
    const gateway = gateways[turn % gateways.length];
    return fetch(`${gateway?.url}/mcp`, init).catch((error) => {
      if (gateway && gateways.includes(gateway)) throw error;
      return send(url, init);
    });
  };
  return send;
}

/** A client's way to the result of one call, in which `yes` is the answer. */
type Complete = (send: Fetch) => Promise<unknown>;

const clients: Record<string, Complete> = {
  'the v1 client, of 2025-11-25': async (send) => {
    const client = new OlderClient({ name: 'test', version: '1' });
    const transport = new OlderTransport(nowhere, { fetch: send });
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    await client.listTools();
    const { tasks } = client.experimental;
    const params = { name: 'ask', arguments: { text: 'x' } };
    let taskId = '';
    for await (const message of tasks.callToolStream(params, undefined, { task: {} })) {
      if (message.type !== 'taskCreated') throw new Error(`no task but ${message.type}`);
      taskId = message.task.taskId;
      break;
    }
    while ((await tasks.getTask(taskId)).status !== 'input_required');
    await client.callTool({ name: 'respond_run', arguments: { run_id: taskId, answer: 'yes' } });
    const result = await tasks.getTaskResult(taskId, CallToolResultSchema);
    await client.close();
    return result;
  },

  'the v2 client with the client of the extension': async (send) => {
    const info = { name: 'test', version: '1' };
    const capabilities = { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };
    const client = new ModernClient(info, { capabilities, versionNegotiation: { mode: 'auto' } });
    await client.connect(new ModernTransport(nowhere, { fetch: send }));
    let id = 0;
    const session = createTaskSessionFromClient(client, {
      endpointId: 'millrace',
      rawDispatch: async (given) => {
        const request = given as { method: string; params?: { name?: string; taskId?: string } };
        const { name, taskId } = request.params ?? {};
        id += 1;
        const response = await send(nowhere, {
          method: 'POST',
          headers: {
            'Content-Type': 'application/json',
            Accept: 'application/json, text/event-stream',
            'MCP-Protocol-Version': REVISION,
            'Mcp-Method': request.method,
            'Mcp-Name': name ?? taskId ?? '',
          },
          body: JSON.stringify({ jsonrpc: '2.0', id, ...request }),
        });
        return (await response.json()) as JsonRpcResponse;
      },
      v2RequestFraming: { protocolVersion: REVISION, clientInfo: info, clientCapabilities: capabilities },
      onInputRequest: createApplicationInputHandler({
        elicitation: () => ({ action: 'accept', content: { answer: 'yes' } }),
        sampling: () => {
          throw new Error('nobody should ask for a model');
        },
        roots: () => ({ roots: [] }),
      }),
    });
    const execution = await session.callTool('ask', { text: 'x' });
    const { outcome } = await execution.settle();
    await session.close();
    await client.close();
    return resultFromTaskOutcome(outcome);
  },
};

it.each(Object.keys(clients))(
  '%s has its task completed, though a gateway and a worker are killed on the way',
  async (name) => {
    const { fleet } = await start({ gateways: 3, workers: 0, env: { TASK_AFTER_SECONDS: '0' } });
    const env = { TEST_LEDGER: fleet.ledger.url };
    const worker = await fleet.startWorker(env);
    fleet.ledger.hold('ask');
    const result = clients[name]?.(balanced(fleet));
    await fleet.ledger.called('ask');
    const [gateway] = fleet.gateways;
    if (gateway) await fleet.kill(gateway);
    await fleet.kill(worker);
    await fleet.startWorker(env);
    await fleet.ledger.called('ask', 2);
    fleet.ledger.release('ask');
    expect(await result).toMatchObject({ structuredContent: { values: { log: ['ask:yes', 'after:x'] } } });
  },
);
