import { afterAll, beforeAll, expect, it } from 'vitest';
import { AGENT_ID, type AgentServer, agentServer } from './agent-server-testing.ts';

let server: AgentServer;
beforeAll(async () => {
  server = await agentServer();
});
afterAll(() => server.close());

it('finds the default assistant of each graph', async () => {
  const agent = {
    assistant_id: AGENT_ID,
    graph_id: 'agent',
    name: 'agent',
    version: 1,
    description: 'Answers.',
  };
  expect(await server.json('POST', '/assistants/search', {})).toMatchObject([agent]);
  expect(await server.json('POST', '/assistants/search', { graph_id: 'agent', name: 'AGE' })).toMatchObject([
    agent,
  ]);
  expect(
    await server.json('POST', '/assistants/search', { metadata: { created_by: 'system' } }),
  ).toHaveLength(1);
  expect(await server.json('POST', '/assistants/search', { metadata: { created_by: 'me' } })).toEqual([]);
  expect(await server.json('POST', '/assistants/search', { select: ['graph_id'] })).toEqual([
    { graph_id: 'agent' },
  ]);
  expect(await server.json('POST', '/assistants/search', { offset: 1 })).toEqual([]);
  expect(await server.json('POST', '/assistants/count', {})).toBe(1);
});

it('knows an assistant by its id and by its graph', async () => {
  const byId = await server.json('GET', `/assistants/${AGENT_ID}`);
  expect(byId).toMatchObject({ graph_id: 'agent' });
  expect(await server.json('GET', '/assistants/agent')).toEqual(byId);
  expect((await server.send('GET', '/assistants/nobody')).status).toBe(404);
  expect(await server.json('GET', '/assistants/agent/schemas')).toEqual({
    graph_id: 'agent',
    input_schema: null,
    output_schema: null,
    state_schema: null,
    config_schema: null,
    context_schema: null,
  });
  expect(await server.json('GET', '/assistants/agent/graph')).toEqual({ nodes: [] });
  expect(await server.json('POST', '/assistants/agent/versions', {})).toEqual([byId]);
});

it('says what is not served, and which field is wrong', async () => {
  expect(await server.json('POST', '/assistants', { graph_id: 'agent' })).toMatchObject({ status: 422 });
  expect(await server.json('GET', '/assistants/agent/subgraphs')).toMatchObject({ status: 422 });
  expect(await server.json('POST', '/assistants/search', { limit: 0 })).toMatchObject({
    status: 422,
    field: 'limit',
  });
});
