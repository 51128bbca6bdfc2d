import { createLogger } from '@millrace/shared/logger';
import { expect, it } from 'vitest';
import { ArgumentCheck } from './argument-check.ts';
import { catalogEntry } from './test-gateway.ts';
import { graphTools } from './tools.ts';

const check = new ArgumentCheck(createLogger('test', 'silent'));

function tool(inputSchema: Parameters<typeof catalogEntry>[1] & object) {
  const [only] = graphTools([catalogEntry('sum', { conversational: false, ...inputSchema })]);
  if (!only) throw new Error('no tool');
  return only.definition;
}

it('names what is missing and what is of the wrong kind', () => {
  const definition = tool({
    inputSchema: {
      type: 'object',
      properties: { order: { type: 'object', properties: { count: { type: 'integer', minimum: 1 } } } },
      required: ['order', 'by'],
    },
  });
  expect(check.faultOf(definition, { order: { count: 0 } })).toBe(
    "the arguments must have required property 'by', order.count must be >= 1",
  );
  expect(check.faultOf(definition, { order: { count: 1 }, by: 'me' })).toBeUndefined();
});

it('follows a graph to its next revision', () => {
  expect(check.faultOf(tool({ inputSchema: { required: ['a'] } }), { b: 1 })).toContain("'a'");
  expect(check.faultOf(tool({ inputSchema: { required: ['b'] } }), { b: 1 })).toBeUndefined();
});

it('keeps graphs apart that use one $id for different things', () => {
  const one = {
    ...tool({ inputSchema: { $id: 'https://example.com/input', required: ['a'] } }),
    name: 'one',
  };
  const two = {
    ...tool({ inputSchema: { $id: 'https://example.com/input', required: ['b'] } }),
    name: 'two',
  };
  expect(check.faultOf(one, { a: 1 })).toBeUndefined();
  expect(check.faultOf(two, { a: 1 })).toContain("'b'");
});

it('leaves to the graph what it cannot check', () => {
  const strange = tool({ inputSchema: { properties: { a: { $ref: '#/$defs/nowhere' } } } });
  expect(check.faultOf(strange, { a: 1 })).toBeUndefined();
});
