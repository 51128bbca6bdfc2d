import { AIMessage, type BaseMessage, ToolMessage } from '@langchain/core/messages';
import { Command, MemorySaver } from '@langchain/langgraph';
import { describe, expect, it } from 'vitest';
import { DemoModel } from '../model/demo-model.ts';
import { makeAgent } from './agent.ts';

function conversation() {
  const graph = makeAgent(new DemoModel());
  graph.checkpointer = new MemorySaver();
  const config = { configurable: { thread_id: 'thread' } };
  const messages = async () => (await graph.getState(config)).values.messages as BaseMessage[];
  return {
    graph,
    config,
    messages,
    say: async (content: string) => {
      await graph.invoke({ messages: [{ role: 'user', content }] }, config);
      return (await messages()).at(-1)?.text;
    },
  };
}

describe('the agent with the demo model', () => {
  it('calls both tools, then streams an answer token by token', async () => {
    const { graph, config, messages } = conversation();
    const tokens: string[] = [];
    const ids = new Set<string | undefined>();
    const steps: string[] = [];
    const stream = await graph.stream(
      { messages: [{ role: 'user', content: 'What is 12*(3+4)? What time is it?' }] },
      { ...config, streamMode: ['messages', 'updates'] },
    );
    for await (const [mode, data] of stream) {
      if (mode === 'updates') steps.push(...Object.keys(data));
      else if (AIMessage.isInstance(data[0]) && data[0].text !== '') {
        tokens.push(data[0].text);
        ids.add(data[0].id);
      }
    }
    expect(steps).toEqual(['model_request', 'tools', 'tools', 'model_request']);
    const all = await messages();
    const answer = all.at(-1);
    expect(answer?.text).toMatch(/^12\*\(3\+4\) = 84\. The time is \d{4}-\d\d-\d\dT[\d:.]+Z\.$/);
    expect(tokens.join('')).toBe(answer?.text);
    expect(tokens.length).toBeGreaterThan(3);
    expect([...ids]).toEqual([answer?.id]);
    expect(new Set(all.map((message) => message.id)).size).toBe(all.length);
    expect(all.filter((message) => ToolMessage.isInstance(message)).map(({ name }) => name)).toEqual([
      'calculator',
      'current_time',
    ]);
    expect(answer).toMatchObject({
      response_metadata: { model_name: 'millrace-demo' },
      usage_metadata: { output_tokens: tokens.length },
    });
  });

  it('parks on a question and goes on with the answer', async () => {
    const { graph, config, messages } = conversation();
    const question = 'Please ask a person to approve the release.';
    await graph.invoke({ messages: [{ role: 'user', content: question }] }, config);
    const parked = await graph.getState(config);
    expect(parked.tasks.flatMap((task) => task.interrupts.map(({ value }) => value))).toEqual([
      { question: `May I go ahead with this? "${question}"` },
    ]);
    await graph.invoke(new Command({ resume: { approved: true } }), config);
    expect((await messages()).at(-1)?.text).toBe('The person answered: {"approved":true}');
  });

  it('remembers earlier turns', async () => {
    const { say } = conversation();
    expect(await say('What is my name?')).toBe('You have not told me your name.');
    expect(await say('Hi, my name is Ada.')).toBe('Nice to meet you, Ada.');
    expect(await say('What is my name?')).toBe('Your name is Ada.');
    expect(await say('What did I say before?')).toBe('Before this you said: "What is my name?".');
    expect(await say('And 2+2?')).toBe('2+2 = 4.');
  });

  it('tells of a tool that fails', async () => {
    const { say } = conversation();
    expect(await say('1/0')).toBe('The tool calculator failed: ArithmeticError: Division by zero.');
    expect(await say('The time in Mars/Olympus please')).toContain('There is no time zone "Mars/Olympus"');
  });

  it('says what it is when it has nothing to do', async () => {
    expect(await conversation().say('Hello there')).toMatch(/demo model.*You said: "Hello there"/);
  });
});
