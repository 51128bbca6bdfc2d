import { expect, it } from 'vitest';
import { toolNames } from './tool-name.ts';

it('puts the server before the name, and changes only what models cannot have', () => {
  expect([...toolNames('docs', ['search', 'files.read', 'a/b', 'a.b', 'a_b', 'search'])]).toEqual([
    ['search', 'docs__search'],
    ['files.read', 'docs__files_read'],
    ['a/b', expect.stringMatching(/^docs__a_b_[0-9a-f]{8}$/)],
    ['a.b', expect.stringMatching(/^docs__a_b_[0-9a-f]{8}$/)],
    ['a_b', 'docs__a_b'],
  ]);
});

it('cuts what is too long, and keeps it apart', () => {
  const long = (end: string) => `${'x'.repeat(100)}${end}`;
  const names = [...toolNames('docs', [long('a'), long('b')]).values()];
  expect(names.map((name) => name.length)).toEqual([64, 64]);
  expect(new Set(names).size).toBe(2);
});
