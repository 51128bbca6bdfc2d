import { expect, it } from 'vitest';
import { inTurn } from '../mcp-client.ts';
import { TaskClient } from '../mcp-task-client.ts';
import type { AppProcess } from '../processes.ts';
import type { Fleet } from './fleet.ts';
import { scenarios } from './scenario.ts';

const start = scenarios();

/** MCP's clients name no ledger: the worker does. */
const startWorker = (fleet: Fleet) => fleet.startWorker({ TEST_LEDGER: fleet.ledger.url });

const clientOf = (...gateways: (AppProcess | undefined)[]) =>
  new TaskClient(inTurn(gateways.map((one) => `${one?.url}/mcp`)));

const accept = (answer: string) => ({ action: 'accept', content: { answer } });

it('a task outlives the gateway it was made at and the workers it ran on', async () => {
  const { fleet } = await start({ workers: 0, env: { TASK_AFTER_SECONDS: '0' } });
  const [first, second] = fleet.gateways;
  if (!first || !second) throw new Error('two gateways should be there');
  await startWorker(fleet);
  fleet.ledger.hold('ask');
  const { taskId } = await clientOf(first).call('ask', { text: 'x' });
  await fleet.ledger.called('ask');

  const breaksOff = expect(
    (async () => {
      for await (const _ of clientOf(first).listen([taskId]));
    })(),
  ).rejects.toThrow();
  await fleet.kill(first);
  await breaksOff;
  for (const worker of [...fleet.workers]) await fleet.kill(worker);
  await startWorker(fleet);
  await fleet.ledger.called('ask', 2);
  fleet.ledger.release('ask');

  const client = clientOf(second);
  const asked = await client.until(taskId, 'input_required');
  const [question = ''] = Object.keys(asked.inputRequests ?? {});
  fleet.ledger.hold('after');
  await client.update(taskId, { [question]: accept('yes') });
  await fleet.ledger.called('after');
  for (const worker of [...fleet.workers]) await fleet.kill(worker);
  // The answer counts once, however often it is sent.
  await client.update(taskId, { [question]: accept('no') });
  await startWorker(fleet);
  await fleet.ledger.called('after', 2);
  fleet.ledger.release('after');

  const third = clientOf(await fleet.startGateway());
  let last: Awaited<ReturnType<TaskClient['get']>> | undefined;
  for await (const task of third.listen([taskId])) last = task;
  expect(last).toMatchObject({
    taskId,
    status: 'completed',
    result: { structuredContent: { values: { log: ['ask:yes', 'after:x'] } } },
  });
});

it('news of a task go on when Redis has been away', async () => {
  const { fleet } = await start({ gateways: 1, workers: 0, env: { TASK_AFTER_SECONDS: '0' } });
  const client = clientOf(...fleet.gateways);
  await startWorker(fleet);
  fleet.ledger.hold('c');
  const { taskId } = await client.call('chain', { text: 'x' });
  const news = client.listen([taskId]);
  await news.next();
  await fleet.ledger.called('c');
  await fleet.redis.away(500, 'killed');
  fleet.ledger.release('c');
  let last: Awaited<ReturnType<TaskClient['get']>> | undefined;
  for await (const task of news) last = task;
  expect(last).toMatchObject({ taskId, status: 'completed' });
});
