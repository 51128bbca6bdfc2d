import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TestGateway, testGateway } from '../../apps/gateway/src/gateway-testing.ts';

let gateway: TestGateway;
beforeEach(async () => {
  gateway = await testGateway();
});
afterEach(() => gateway.close());

const interrupt = (id: string) => ({
  id,
  kind: 'interrupt' as const,
  node: 'n',
  interruptId: `i-${id}`,
  value: id,
});

it('an answer that is sent again gets its run, whatever is asked by then', async () => {
  const post = async (body: object, key?: string) => {
    const response = await gateway.send('POST', '/threads/x/runs', {
      body: { assistant_id: 'agent', if_not_exists: 'create', ...body },
      headers: { 'content-type': 'application/json', ...(key && { 'Idempotency-Key': key }) },
    });
    return { status: response.status, run: ((await response.json()) as { run_id?: string }).run_id };
  };
  const asked = await post({ input: {} });
  await gateway.work(asked.run ?? '', { status: 'interrupted', questions: [interrupt('one')] });
  const answered = await post({ command: { resume: 'yes' } }, 'k');
  expect(answered.status).toBe(200);
  // The reply was lost; meanwhile the run goes on, and two steps ask.
  await gateway.work(answered.run ?? '', {
    status: 'interrupted',
    questions: [interrupt('two'), interrupt('three')],
  });
  expect(await post({ command: { resume: 'yes' } }, 'k')).toEqual(answered);
});
