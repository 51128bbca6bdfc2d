import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));

/** A process with nobody to look at this rejection. */
const reject = (error: string) =>
  run(
    process.execPath,
    [
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      `import { createLogger } from '@millrace/shared/logger';
       import { FenceError, StorageRefusal } from '@millrace/checkpoint-redis';
       import { outliveRefusals } from './refusals.ts';
       outliveRefusals(createLogger('test', 'silent'));
       void Promise.reject(${error});
       setImmediate(() => console.log('alive'));`,
    ],
    { cwd: here },
  );

it.each(["new FenceError('t', 1, 2)", "new StorageRefusal('OOM')"])('outlives %s', async (error) => {
  expect((await reject(error)).stdout).toBe('alive\n');
});

it('does not outlive what nobody expected', async () => {
  await expect(reject("new TypeError('a bug')")).rejects.toMatchObject({ code: 1 });
});
