import { createLogger } from '@millrace/shared/logger';
import { testRedis } from '@millrace/shared/test-redis';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { expect, it, onTestFinished } from 'vitest';
import { startTestGateway } from '../apps/gateway/src/mcp/test-gateway.ts';
import { messagesBefore } from '../apps/gateway/src/use-cases/runs.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { startWorker } from '../apps/worker/src/worker.ts';
import { modernClientOver } from './mcp-client.ts';

interface Message {
  id: string;
  usage_metadata?: { total_tokens: number };
}

it('tells the tokens of a run, and knows those of the thread before it', async () => {
  const redis = await testRedis();
  onTestFinished(() => redis.close());
  const env = { ...redis.env, LOG_LEVEL: 'silent', WORKER_PORT: '0', MODEL: 'demo' };
  const worker = await startWorker(workerConfig(env), createLogger('test', 'silent'));
  onTestFinished(() => worker.stop());
  const gateway = await startTestGateway(redis, { progressMs: 0 });
  onTestFinished(() => gateway.close());
  const client = await modernClientOver(new StreamableHTTPClientTransport(gateway.url), 'auto');
  onTestFinished(() => client.close());

  const ask = async (message: string, thread?: string) => {
    const heard: string[] = [];
    const { output } = await client.call(
      'agent',
      { message, ...(thread !== undefined && { thread_id: thread }) },
      { onprogress: (step) => heard.push(step.message ?? '') },
    );
    return { output, heard };
  };
  const messagesOf = async (thread: string) =>
    (JSON.parse(await client.read(`thread://${thread}`)) as { messages: Message[] }).messages;

  const first = await ask('What is 6*7?');
  const thread = first.output.thread_id;
  const before = await messagesOf(thread);
  const second = await ask('What is 3+4? And what time is it?', thread);
  const later = (await messagesOf(thread)).slice(before.length);
  expect(await messagesBefore(gateway.services, 'acme', second.output.run_id)).toEqual(
    new Set(before.map((one) => one.id)),
  );

  // What a call hears before its result may lack the last step.
  const sums: number[] = [];
  for (const { usage_metadata } of later) sums.push((sums.at(-1) ?? 0) + (usage_metadata?.total_tokens ?? 0));
  const told = second.heard.flatMap((one) => /\((\d+) tokens so far\)$/.exec(one)?.[1] ?? []).map(Number);
  expect(told).not.toEqual([]);
  for (const count of told) expect(sums).toContain(count);
});
