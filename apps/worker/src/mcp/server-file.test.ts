// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the file's own form.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@millrace/shared/config';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { workerConfig } from '../config.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

const read = (content: unknown, env: Record<string, string> = {}) => {
  const file = join(folder, 'mcp.json');
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return workerConfig({ MCP_SERVERS: file, ...env }).mcpServers;
};

function problems(content: unknown, env: Record<string, string> = {}): string[] {
  try {
    read(content, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

it('reads what hosts have, with variables in it', () => {
  const servers = read(
    {
      mcpServers: {
        docs: { type: 'http', url: 'https://${HOST}/mcp', headers: { Authorization: 'Bearer ${TOKEN}' } },
        files: {
          command: 'npx',
          args: ['-y', 'server', '${TOKEN}'],
          env: { A: 'b' },
          timeout: 1.5,
          tools: ['x'],
        },
      },
    },
    { HOST: 'docs.example', TOKEN: 't' },
  );
  expect(servers).toEqual([
    {
      name: 'docs',
      transport: { url: 'https://docs.example/mcp', headers: { Authorization: 'Bearer t' } },
      tools: undefined,
      repeatable: [],
      timeoutMs: 60_000,
    },
    {
      name: 'files',
      transport: { command: 'npx', args: ['-y', 'server', 't'], env: { A: 'b' } },
      tools: ['x'],
      repeatable: [],
      timeoutMs: 1500,
    },
  ]);
  expect(workerConfig({}).mcpServers).toEqual([]);
});

it('tells everything that is wrong, with the rest of the configuration, and no secret', () => {
  const [workers, problem = ''] = problems(
    {
      mcpServers: {
        a__b: { url: 'https://x' },
        both: { url: 'https://x', command: 'y' },
        none: {},
        old: { type: 'sse', url: 'https://x' },
        mixed: { type: 'stdio', url: 'https://u:hunter2@x', env: {}, headers: { 'a b': 'hunter2' } },
        child: { command: '', headers: {}, timeout: 0, disabled: true, tools: 'x' },
        secret: { url: '${HOST}', headers: { Authorization: 'Bearer ${TOKEN}' } },
      },
    },
    { WORKER_CONCURRENCY: 'many', PASSWORD: 'hunter2', TOKEN: ' ' },
  );
  expect(workers).toEqual(expect.stringContaining('WORKER_CONCURRENCY'));
  for (const part of [
    'mcpServers.a__b: name it with up to 31 letters',
    'mcpServers.both: give either url or command',
    'mcpServers.none: give either url or command',
    'mcpServers.old.type: must be http or stdio',
    'mcpServers.mixed.url: give an http or https URL, without a password',
    'mcpServers.child.command: give a text that is not empty',
    'mcpServers.child.timeout: give more than 0 seconds',
    'mcpServers.child.tools: give a list of names of tools',
    'mcpServers.child: there is no field disabled; the fields are type, url',
    'mcpServers.secret.url: the variable HOST is not set',
    'mcpServers.secret.headers.Authorization: the variable TOKEN is not set',
  ]) {
    expect(problem).toContain(part);
  }
  expect(problem).not.toContain('hunter2');
  expect(problem).not.toContain('secret.url: give');
});

it('tells what does not go together', () => {
  const [problem = ''] = problems({
    mcpServers: {
      mixed: { type: 'stdio', url: 'https://x', env: {}, headers: { 'a b': 'c' } },
      child: { command: 'x', headers: {} },
    },
  });
  expect(problem).toContain('mcpServers.mixed.type: does not go with url; leave it out');
  expect(problem).toContain('mcpServers.mixed.env: does not go with url; remove it');
  expect(problem).toContain('mcpServers.mixed.headers: "a b" is no HTTP header');
  expect(problem).toContain('mcpServers.child.headers: does not go with command; remove it');
});

it.each([
  ['{"mcpServers": {"a": hunter2', 'is not JSON'],
  [{ servers: {} }, 'the fields are mcpServers'],
  [[], 'the whole: '],
])('refuses %s', (content, wanted) => {
  const [problem = ''] = problems(content);
  expect(problem).toContain(wanted);
  expect(problem).not.toContain('hunter2');
});

it('says which file it cannot read', () => {
  expect(() => workerConfig({ MCP_SERVERS: '/nowhere.json' })).toThrow(
    /MCP_SERVERS: the file \/nowhere.json cannot be read/,
  );
});
