import { Refusal } from '@millrace/shared/contract/error';
import { describe, expect, it } from 'vitest';
import { runBody, toRunOrder } from './run-body.ts';

const order = (body: object) => toRunOrder(runBody.parse({ assistant_id: 'agent', ...body }), ['values']);

function refusal(body: object): Refusal {
  try {
    order(body);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('not refused');
}

describe('the body of a run', () => {
  it('takes null for absent wherever a client sends it', () => {
    const nothing = Object.fromEntries(Object.keys(runBody.shape).map((name) => [name, null]));
    expect(order({ ...nothing, assistant_id: 'agent', input: null })).toMatchObject({
      assistant: 'agent',
      input: null,
      command: undefined,
      streamModes: ['values'],
    });
  });

  it('takes stream modes as one or as a list, each once', () => {
    expect(order({ stream_mode: 'updates' }).streamModes).toEqual(['updates']);
    expect(order({ stream_mode: ['updates', 'messages-tuple', 'updates'] }).streamModes).toEqual([
      'updates',
      'messages-tuple',
    ]);
    expect(order({ stream_mode: [] }).streamModes).toEqual(['values']);
  });

  it('finds the checkpoint wherever a client puts it, and keeps it out of the settings', () => {
    expect(order({ checkpoint_id: 'c' }).checkpointId).toBe('c');
    expect(order({ checkpoint: { checkpoint_id: 'c', checkpoint_ns: '' } }).checkpointId).toBe('c');
    const inConfig = order({ config: { configurable: { checkpoint_id: 'c', thread_id: 'x', tone: 'dry' } } });
    expect(inConfig.checkpointId).toBe('c');
    expect(inConfig.config?.configurable).toEqual({ tone: 'dry' });
  });

  it('lets a command win over an input, and an empty one count as none', () => {
    expect(order({ input: { x: 1 }, command: { resume: 'yes' } })).toMatchObject({
      input: undefined,
      command: { resume: 'yes' },
    });
    expect(order({ input: { x: 1 }, command: {} })).toMatchObject({ input: { x: 1 }, command: undefined });
    expect(order({ command: { resume: null } }).command).toMatchObject({ resume: null });
    expect(order({ command: { resume: null, goto: 'n' } }).command).toEqual({ goto: 'n' });
    expect(order({ command: { goto: [{ node: 'n', input: 1 }], update: [['a', 1]] } }).command).toMatchObject(
      {
        goto: [{ node: 'n', input: 1 }],
        update: [['a', 1]],
      },
    );
  });

  it('counts seconds in milliseconds and upgrades durability without a word', () => {
    expect(order({ after_seconds: 1.5, durability: 'exit', config: { recursion_limit: 7 } })).toMatchObject({
      afterMs: 1500,
      recursionLimit: 7,
    });
  });

  it.each([
    [{ webhook: 'https://x.test' }, 'webhook'],
    [{ feedback_keys: ['k'] }, 'feedback_keys'],
    [{ stream_mode: ['values', 'events'] }, 'stream_mode'],
    [{ checkpoint: { checkpoint_ns: 'sub:1' } }, 'checkpoint.checkpoint_ns'],
  ])('refuses what is not served: %j', (body, field) => {
    expect(refusal(body)).toMatchObject({ code: 'unsupported', field });
  });

  it.each([
    { assistant_id: 7 },
    { assistant_id: '' },
    { command: { update: 'x' } },
    { command: { goto: { input: 1 } } },
    { config: { recursion_limit: 0 } },
    { config: { configurable: [] } },
    { stream_mode: 'nonsense' },
    { after_seconds: -1 },
    { interrupt_before: 'node' },
    { multitask_strategy: 'queue' },
    { metadata: 'x' },
    { checkpoint_id: '\ud800' },
  ])('takes no wrong type: %j', (body) => {
    expect(runBody.safeParse({ assistant_id: 'agent', ...body }).success).toBe(false);
  });
});
