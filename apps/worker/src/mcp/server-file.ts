import { readFileSync } from 'node:fs';
import { VariableFault } from '@millrace/shared/config-fields';
import { z } from 'zod';

/** An MCP server whose tools agents may call. */
export interface McpServer {
  name: string;
  /** Streamable HTTP, or a child process that speaks on its standard input and output. */
  transport:
    | { url: string; headers: Record<string, string> }
    | { command: string; args: string[]; env: Record<string, string> };
  /** The tools that are offered, by the server's own names; undefined for all. */
  tools: readonly string[] | undefined;
  /** Tools that may be called twice, whatever the server says of them. */
  repeatable: readonly string[];
  /** What one call may take. */
  timeoutMs: number;
}

const LONGEST_TIMEOUT = 24 * 3600;

const words = z.string('give a text').min(1, 'give a text that is not empty');
const named = z.record(z.string(), z.string('give a text'), 'give {"name": "value"}');
const toolNames = z.array(words, 'give a list of names of tools');

const server = z
  .strictObject(
    {
      type: z.enum(
        ['http', 'streamable-http', 'stdio'],
        'must be http or stdio; the older SSE is not spoken',
      ),
      url: words.refine(isPlainUrl, 'give an http or https URL, without a password: that goes into headers'),
      headers: named,
      command: words,
      args: z.array(z.string('give a text'), 'give a list of texts'),
      env: named,
      tools: toolNames,
      repeatable: toolNames,
      timeout: z
        .number('give a number of seconds')
        .min(0.001, 'give more than 0 seconds')
        .max(LONGEST_TIMEOUT, `give ${LONGEST_TIMEOUT} seconds or less`),
    },
    'give {"url": "https://…"} or {"command": "…"}',
  )
  .partial()
  .superRefine(({ type, url, command, ...rest }, context) => {
    const complain = (message: string, path?: string) =>
      context.addIssue({ code: 'custom', message, ...(path !== undefined && { path: [path] }) });
    if ((url === undefined) === (command === undefined)) return complain('give either url or command');
    const isHttp = url !== undefined;
    if (type !== undefined && (type === 'stdio') === isHttp) {
      complain(`does not go with ${isHttp ? 'url' : 'command'}; leave it out`, 'type');
    }
    for (const field of isHttp ? (['args', 'env'] as const) : (['headers'] as const)) {
      if (rest[field]) complain(`does not go with ${isHttp ? 'url' : 'command'}; remove it`, field);
    }
    for (const [name, value] of Object.entries(rest.headers ?? {})) {
      if (!isHeader(name, value))
        complain(`"${name}" is no HTTP header, or has a value that none may have`, 'headers');
    }
  });

const file = z.strictObject({
  mcpServers: z.record(
    // Goes before the names of its tools, with two underscores between.
    z.string().regex(/^(?!.*__)[A-Za-z0-9][A-Za-z0-9_-]{0,30}(?<!_)$/),
    server,
    'give {"name": {"url": "https://…"}}',
  ),
});

/**
 * Reads a file of MCP servers in the form that MCP hosts have, as `{"mcpServers": {"docs": {"url": "https://…/mcp"}}}`.
 * `${NAME}` in its texts is the variable of that name.
 *
 * @throws VariableFault naming all that is wrong with it, and no value
 */
export function readMcpServers(path: string, variable: (name: string) => string | undefined): McpServer[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // A parser's message quotes the text, and there may be a secret in it.
    const why = error instanceof SyntaxError ? 'is not JSON' : `cannot be read: ${(error as Error).message}`;
    throw new VariableFault(`the file ${path} ${why}`);
  }
  const unset = new Map<string, string>();
  const expanded = expand(content, [], (name, at) => {
    const value = variable(name)?.trim();
    if (!value) unset.set(at.join('.'), name);
    return value ?? '';
  });
  const read = file.safeParse(expanded);
  const issues = read.success ? [] : read.error.issues.filter(({ path }) => !unset.has(path.join('.')));
  const problems = [
    ...[...unset].map(([at, name]) => `${at}: the variable ${name} is not set`),
    ...issues.map(describe),
  ];
  if (problems.length > 0 || !read.success) {
    throw new VariableFault(`the file ${path}: ${problems.join('; ')}`);
  }
  return Object.entries(read.data.mcpServers).map(([name, one]) => ({
    name,
    transport:
      one.url !== undefined
        ? { url: one.url, headers: one.headers ?? {} }
        : { command: one.command ?? '', args: one.args ?? [], env: one.env ?? {} },
    tools: one.tools,
    repeatable: one.repeatable ?? [],
    timeoutMs: (one.timeout ?? 60) * 1000,
  }));
}

function describe({ path, ...issue }: z.core.$ZodIssue): string {
  const at = path.join('.') || 'the whole';
  if (issue.code === 'unrecognized_keys') {
    const fields = path.length === 0 ? ['mcpServers'] : Object.keys(server.shape);
    return `${at}: there is no field ${issue.keys.join(', ')}; the fields are ${fields.join(', ')}`;
  }
  if (issue.code === 'invalid_key') {
    return `${at}: name it with up to 31 letters, digits, dashes and single underscores`;
  }
  return `${at}: ${issue.message}`;
}

/** Puts variables into every text of a JSON value. */
function expand(value: unknown, path: string[], read: (name: string, path: string[]) => string): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => read(name, path));
  }
  if (Array.isArray(value)) return value.map((one, i) => expand(one, [...path, String(i)], read));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, expand(one, [...path, key], read)]),
  );
}

function isPlainUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

function isHeader(name: string, value: string): boolean {
  try {
    new Headers([[name, value]]);
    return true;
  } catch {
    return false;
  }
}
