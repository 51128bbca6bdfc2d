import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { putInPlace } from './debian-package.ts';
import { tempDir } from './testing.ts';

function unpacked(dir: string): string {
  mkdirSync(dir);
  writeFileSync(join(dir, 'program'), '');
  return dir;
}

test('of two that were fetched at once the first stays: somebody may be using it', async () => {
  const cache = tempDir();
  const place = join(cache, 'root');
  const since = statSync(cache).ctimeMs;
  const [first, second] = ['first', 'second'].map((name) => unpacked(join(cache, name)));
  await putInPlace(first ?? '', place, since);
  const { ino } = statSync(place);
  await putInPlace(second ?? '', place, since);
  expect(statSync(place).ino).toBe(ino);
});

test('one that was there before is replaced: it was of no use', async () => {
  const cache = tempDir();
  const place = unpacked(join(cache, 'root'));
  const { ino } = statSync(place);
  const next = unpacked(join(cache, 'next'));
  await putInPlace(next, place, statSync(place).ctimeMs + 1);
  expect(statSync(place).ino).not.toBe(ino);
});
