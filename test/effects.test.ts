import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@langchain/langgraph-sdk';
import type { RunRecord } from '@millrace/shared/contract/run';
import { beforeEach, describe, expect, it } from 'vitest';
import { submitRun } from '../apps/gateway/src/use-cases/submit-run.ts';
import { makeTestProject } from '../apps/worker/src/loader/test-project.ts';
import { type EffectsScene, effectsScene, says } from './effects-scene.ts';
import { generations, inTurn } from './mcp-client.ts';

let scene: EffectsScene;
const sceneOf = effectsScene();
beforeEach(() => {
  scene = sceneOf();
});

describe('a tool that must not be repeated', () => {
  it('whose worker was killed parks the run, and is called again when a person says so', async () => {
    const asked = await scene.killInPayment('agent', says('pay ann, notify bob'));
    expect(asked).toMatchObject({
      status: 'interrupted',
      questions: [
        {
          kind: 'unknown_effect',
          node: 'tools',
          value: { tool: 'pay', tool_call_id: 'call-1-0', args: { to: 'ann' } },
        },
      ],
    });
    expect(scene.ledger.count('pay ann')).toBe(1);
    await expect(scene.answer(asked, { action: 'again' })).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'command.resume.action',
    });
    expect((await scene.answer(asked, { action: 'repeat' })).status).toBe('succeeded');
    expect(scene.ledger.count('pay ann')).toBe(2);
    expect(new Set(scene.ledger.keys('pay ann')).size).toBe(1);
    expect(await scene.toolResults(asked)).toEqual([
      ['success', 'paid ann'],
      ['success', 'told bob'],
    ]);
    await expect(scene.answer(asked, { action: 'repeat' })).rejects.toMatchObject({ code: 'stale' });
  });

  it('is not called when a person gives its result, or gives the run up, wherever the call is made', async () => {
    scene.ledger.hold('pay ann');
    const graphs = ['agent', 'nested', 'called', 'agent'];
    const submitted = graphs.map((graph) =>
      scene.client.submit(graph, { input: says('pay ann'), ...scene.configured() }),
    );
    await scene.ledger.called('pay ann', 4);
    await scene.killIn('pay ann');
    const asked: RunRecord[] = [];
    for (const { runId } of await Promise.all(submitted)) asked.push(await scene.client.end(runId));
    const last = asked.pop();
    for (const run of asked) {
      const answered = await scene.answer(run, { action: 'skip', result: 'paid, receipt 17' });
      expect(answered.status).toBe('succeeded');
      expect(await scene.toolResults(run)).toEqual([['success', 'paid, receipt 17']]);
    }
    expect(last && (await scene.answer(last, { action: 'fail', reason: 'too risky' }))).toMatchObject({
      status: 'failed',
      error: { code: 'unknown_effect', message: 'too risky' },
    });
    expect(scene.ledger.count('pay ann')).toBe(4);
  });

  it('is asked about anew after a second crash, and the old answer is none', async () => {
    const asked = await scene.killInPayment('agent');
    scene.ledger.hold('pay ann');
    const { runId } = await submitRun(scene.services, {
      tenant: 't',
      assistant: 'agent',
      thread: asked.thread,
      command: { resume: { action: 'repeat' } },
      streamModes: [],
      ...scene.configured(),
    });
    await scene.ledger.called('pay ann', 2);
    await scene.killIn('pay ann');
    const again = await scene.client.end(runId);
    expect(again).toMatchObject({ status: 'interrupted', questions: [{ kind: 'unknown_effect' }] });
    expect(again.questions?.[0]?.id).not.toBe(asked.questions?.[0]?.id);
    const late = scene.answer(asked, { [asked.questions?.[0]?.id ?? '']: { action: 'repeat' } });
    await expect(late).rejects.toMatchObject({ code: 'invalid_request' });
    expect((await scene.answer(again, { action: 'skip', result: 'paid' })).status).toBe('succeeded');
    expect(scene.ledger.count('pay ann')).toBe(2);
  });

  it('keeps an approval that was given, and asks for one that was not', async () => {
    const approval = await scene.client.run('approved', { input: says('pay ann'), ...scene.configured() });
    expect(approval.questions).toMatchObject([{ kind: 'breakpoint', node: 'tools' }]);
    scene.ledger.hold('pay ann');
    const order = {
      tenant: 't',
      assistant: 'approved',
      thread: approval.thread,
      streamModes: [],
      ...scene.configured(),
    };
    const { runId } = await submitRun(scene.services, { ...order, input: null });
    await scene.killIn('pay ann');
    const asked = await scene.client.end(runId);
    expect(asked.questions).toMatchObject([{ kind: 'unknown_effect' }]);
    expect((await scene.answer(asked, { action: 'repeat' })).status).toBe('succeeded');
    expect(await scene.toolResults(asked)).toEqual([['success', 'paid ann']]);
    const next = await scene.client.run(
      'approved',
      { input: says('pay bob'), ...scene.configured() },
      { thread: approval.thread },
    );
    expect(next.questions).toMatchObject([{ kind: 'breakpoint' }]);
    expect([scene.ledger.count('pay ann'), scene.ledger.count('pay bob')]).toEqual([2, 0]);
  });

  it('keeps the answer its node has, and its own result while the node asks more', async () => {
    const whom = await scene.client.run('asking', scene.configured());
    scene.ledger.hold('pay ann');
    const { runId } = await submitRun(scene.services, {
      tenant: 't',
      assistant: 'asking',
      thread: whom.thread,
      command: { resume: 'ann' },
      streamModes: [],
      ...scene.configured(),
    });
    await scene.killIn('pay ann');
    const asked = await scene.client.end(runId);
    expect(asked.questions).toMatchObject([{ kind: 'unknown_effect', node: 'node' }]);
    // Nothing of the node was done again before somebody answered.
    expect(scene.ledger.count('before')).toBe(1);
    const satisfied = await scene.answer(asked, { action: 'repeat' });
    expect(satisfied.questions).toMatchObject([{ kind: 'interrupt', value: 'satisfied?' }]);
    expect((await scene.answer(satisfied, 'yes')).status).toBe('succeeded');
    expect(await scene.client.values(whom.thread)).toEqual({ text: 'paid ann, yes' });
    expect(scene.ledger.count('pay ann')).toBe(2);
  });

  it('may ask something itself, and goes on with the answer', async () => {
    const asked = await scene.client.run('agent', { input: says('confirm ann'), ...scene.configured() });
    expect(asked.questions).toMatchObject([{ kind: 'interrupt', value: 'pay ann?' }]);
    expect((await scene.answer(asked, 'yes')).status).toBe('succeeded');
    expect(await scene.toolResults(asked)).toEqual([['success', 'paid ann, yes']]);
    expect(scene.ledger.count('pay ann')).toBe(1);
  });

  it('is asked about when its worker left without it', async () => {
    scene.ledger.hold('pay ann');
    const { runId } = await scene.client.submit('agent', { input: says('pay ann'), ...scene.configured() });
    await scene.ledger.called('pay ann');
    expect(await scene.worker.end('SIGTERM')).toBe(0);
    scene.worker = await scene.start('worker');
    expect((await scene.client.end(runId)).questions).toMatchObject([{ kind: 'unknown_effect' }]);
    expect(scene.ledger.count('pay ann')).toBe(1);
  });

  it("is told by MCP's annotations, in a project with its own LangChain too", async () => {
    const project = await makeTestProject();
    try {
      await project.write('package.json', { type: 'module' });
      await project.write('graphs.ts', foreign);
      const config = await project.write('langgraph.json', {
        graphs: { foreign: { path: './graphs.ts:foreign', queue: 'foreign' } },
      });
      const first = await scene.start('worker', { LANGGRAPH_CONFIG: config });
      scene.ledger.hold('delete');
      const { runId } = await scene.client.submit(
        'foreign',
        { input: { messages: [] }, ...scene.configured() },
        { queue: 'foreign' },
      );
      await scene.ledger.called('delete');
      await first.end('SIGKILL');
      const second = await scene.start('worker', { LANGGRAPH_CONFIG: config });
      const asked = await scene.client.end(runId);
      expect(asked.questions).toMatchObject([{ kind: 'unknown_effect', value: { tool: 'delete' } }]);
      expect((await scene.answer(asked, { action: 'skip', result: 'deleted' })).status).toBe('succeeded');
      expect(await scene.toolResults(asked)).toEqual([['success', 'deleted']]);
      expect(scene.ledger.count('delete')).toBe(1);
      await second.end('SIGKILL');
    } finally {
      await project.remove();
    }
  });

  it('is asked about on every face', async () => {
    const { url } = await scene.start('gateway');
    scene.ledger.hold('pay ann');
    const sdk = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });
    const { thread_id } = await sdk.threads.create();
    const { run_id } = await sdk.runs.create(thread_id, 'agent', {
      input: says('pay ann'),
      ...scene.configured(),
    });
    await scene.killIn('pay ann');
    const asked = {
      id: expect.any(String),
      value: expect.objectContaining({ tool: 'pay', args: { to: 'ann' } }),
    };
    expect(await sdk.runs.join(thread_id, run_id)).toMatchObject({ __interrupt__: [asked] });
    expect((await sdk.threads.getState(thread_id)).tasks).toMatchObject([
      { name: 'tools', interrupts: [asked] },
    ]);
    const thread = await sdk.threads.get(thread_id);
    expect(thread.status).toBe('interrupted');
    expect(Object.values(thread.interrupts)).toEqual([[asked]]);
    const message = await fetch(`${url}/message/${run_id}`);
    expect(await message.json()).toMatchObject({ questions: [{ kind: 'unknown_effect', ...asked }] });

    const wrong = sdk.runs.wait(thread_id, 'agent', { command: { resume: { action: 'skip' } } });
    await expect(wrong).rejects.toThrow('command.resume.result');
    const mcp = await generations[1]?.connect(inTurn([`${url}/mcp`]), {});
    try {
      expect((await mcp?.call('get_run', { run_id }))?.text).toContain('must not be repeated');
      const bad = await mcp?.call('respond_run', { run_id, answer: 'yes' });
      expect(bad).toMatchObject({ isError: true, text: expect.stringContaining('answers') });
      const good = await mcp?.call('respond_run', { run_id, answer: { action: 'skip', result: 'paid' } });
      expect(good?.output).toMatchObject({ status: 'succeeded', answer: 'done' });
    } finally {
      await mcp?.close();
    }
    expect((await sdk.threads.get(thread_id)).interrupts).toEqual({});
    expect(scene.ledger.count('pay ann')).toBe(1);
  });

  it('is not asked about when the result of its task is stored, even that it failed', async () => {
    scene.ledger.hold('done');
    const { runId } = await scene.client.submit('nested', {
      input: says('pay nobody'),
      ...scene.configured(),
    });
    await scene.killIn('done');
    expect(await scene.client.end(runId)).toMatchObject({ status: 'succeeded', attempt: 2 });
    expect(scene.ledger.count('pay nobody')).toBe(1);
  });

  it('is not begun by a worker that has lost the thread and does not know it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    try {
      const file = join(folder, 'go on');
      await scene.replaceWorker({ BLOCK_UNTIL: file });
      const blocked = scene.worker;
      const whom = await scene.client.run('asking', scene.configured());
      const answered = scene.answer(whom, 'ann');
      await scene.ledger.called('before');
      scene.worker = await scene.start('worker');
      expect((await answered).questions).toMatchObject([{ value: 'satisfied?' }]);
      expect(scene.ledger.count('before')).toBe(2);
      await writeFile(file, '');
      await blocked.logged('nothing more is written');
      expect(existsSync(`${file}.paid`)).toBe(false);
      expect(scene.ledger.count('pay ann')).toBe(1);
      await blocked.end('SIGKILL');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const foreign = `
import { AIMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';

const remove = tool(
  async (_, { configurable, signal }) => {
    const body = JSON.stringify({ step: 'delete', run: configurable.run_id });
    await (await fetch(configurable.ledger, { method: 'POST', body, signal })).text();
    return ['gone', null];
  },
  {
    name: 'delete',
    description: 'Deletes it.',
    schema: { type: 'object', properties: {} },
    responseFormat: 'content_and_artifact',
    metadata: { annotations: { destructiveHint: true } },
  },
);
const call = { name: 'delete', args: {}, id: 'one', type: 'tool_call' };
export const foreign = new StateGraph(MessagesAnnotation)
  .addNode('model', () => ({ messages: [new AIMessage({ content: '', tool_calls: [call] })] }))
  .addNode('tools', new ToolNode([remove]))
  .addEdge(START, 'model')
  .addEdge('model', 'tools')
  .addEdge('tools', END);
`;
