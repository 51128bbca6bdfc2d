import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { debianPackages } from './debian-package.ts';
import { tempDir } from './testing.ts';

test('a machine without apt is told of, and nothing is left behind', async () => {
  const cacheDir = tempDir();
  const found = await debianPackages(['prometheus'], { cacheDir, env: { PATH: tempDir() }, log: () => {} });
  expect(found).toEqual({ reason: 'there is no apt-get here' });
  expect(readdirSync(cacheDir)).toEqual([]);
});

test('what is unpacked already is not fetched again, whatever the order of the names', async () => {
  const cacheDir = tempDir();
  mkdirSync(join(cacheDir, 'a+b'));
  const said: string[] = [];
  const options = { cacheDir, env: { PATH: '' }, log: (line: string) => void said.push(line) };
  expect(await debianPackages(['b', 'a'], options)).toEqual({ root: join(cacheDir, 'a+b') });
  expect(said).toEqual([]);
  expect(existsSync(join(cacheDir, 'b'))).toBe(false);
});
