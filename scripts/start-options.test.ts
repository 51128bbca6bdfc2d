import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { banner } from './banner.ts';
import { parseStart } from './start-options.ts';
import { tempDir } from './testing.ts';

test('what is not said has a default', () => {
  expect(parseStart([], { REDIS_URL: '', PORT: '' }, '/')).toEqual({
    ...{ help: false, workers: 1, host: '127.0.0.1', port: 2024, workerPort: 9464 },
    ...{ redisUrl: undefined, config: undefined, model: 'demo model (deterministic, no network)' },
  });
});

test('arguments may come after the separator that pnpm hands on, and a path becomes absolute', () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'langgraph.json'), '{}');
  const options = parseStart(['--', '--workers', '3', '--config', 'langgraph.json'], {}, dir);
  expect(options).toMatchObject({ workers: 3, config: join(dir, 'langgraph.json') });
});

test.each([
  [['--workers', '0'], {}, /--workers must be a whole number from 1 to 64, not "0"/],
  [['--workers', 'two'], {}, /--workers must be a whole number/],
  [['--worker', '2'], {}, /Unknown option '--worker'[\s\S]*Usage: /],
  [['--config', 'none.json'], {}, /--config: there is no \/none\.json/],
  [[], { PORT: '70000' }, /PORT must be a whole number from 0 to 65535/],
])('%j with %j is refused in words', (argv, env, message) => {
  expect(() => parseStart(argv, env, '/')).toThrow(message);
});

test('the banner holds what to type and what to paste', () => {
  const facts = { model: 'm', pid: 42, workers: 1, redis: 'private', logDir: 'logs' };
  const text = banner({ ...facts, url: 'http://127.0.0.1:2024' });
  expect(text).toContain(
    `curl -d '{"query":"What is 12*(3+4)? What time is it?"}' http://127.0.0.1:2024/message`,
  );
  expect(text).toContain('kill 42');
  expect(JSON.parse(text.slice(text.indexOf('client:') + 7))).toEqual({
    mcpServers: { millrace: { type: 'http', url: 'http://127.0.0.1:2024/mcp' } },
  });
});
