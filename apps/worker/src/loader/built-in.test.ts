import { MemorySaver } from '@langchain/langgraph';
import { catalogEntry } from '@millrace/shared/contract/catalog';
import { expect, it } from 'vitest';
import { DemoModel } from '../model/demo-model.ts';
import { builtInGraphs } from './built-in.ts';
import { toCatalogEntry } from './loaded-graph.ts';

it('offers the agent, conversational and ready to run', async () => {
  const graphs = await builtInGraphs(new DemoModel());
  expect(graphs.map(({ name, queue }) => [name, queue])).toEqual([['agent', 'default']]);
  for (const loaded of graphs) {
    expect(loaded.langgraph).toMatchObject({ own: true, version: '1.4.17' });
    const entry = { ...toCatalogEntry(loaded), publishedAt: 1 };
    expect(catalogEntry.parse(entry)).toEqual(entry);
    expect(entry).toMatchObject({
      conversational: true,
      inputSchema: { properties: { messages: { type: 'array' } } },
    });
    const graph = await loaded.bind({ checkpointer: new MemorySaver() });
    const result = (await graph.invoke(
      { messages: [{ role: 'user', content: '20+22' }] },
      { configurable: { thread_id: 't' } },
    )) as { messages: { text: string }[] };
    expect(result.messages.at(-1)?.text).toBe('20+22 = 42.');
  }
});
