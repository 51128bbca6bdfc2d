import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findPrometheus } from './prometheus.ts';
import { tempDir } from './testing.ts';

test('a machine without apt is told of, and nothing is left behind', async () => {
  const cacheDir = tempDir();
  const found = await findPrometheus('promtool', { cacheDir, env: { PATH: tempDir() }, log: () => {} });
  expect(found).toEqual({ reason: 'there is no apt-get here' });
  expect(readdirSync(cacheDir)).toEqual([]);
});

test('what is unpacked already is not fetched again', async () => {
  const cacheDir = tempDir();
  const file = join(cacheDir, 'root/usr/bin/promtool');
  mkdirSync(join(cacheDir, 'root/usr/bin'), { recursive: true });
  writeFileSync(file, '', { mode: 0o755 });
  const said: string[] = [];
  const options = { cacheDir, env: { PATH: '' }, log: (line: string) => void said.push(line) };
  expect(await findPrometheus('promtool', options)).toEqual({ file });
  expect(said).toEqual([]);
});
