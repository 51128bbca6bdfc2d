// Speaks MCP on standard input and output for hosts that start their servers themselves, and forwards to a gateway.
import { parseArgs } from 'node:util';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio';
import { bridge } from './mcp-bridge.ts';
import { complain, UserError } from './say.ts';

const help = `Usage: node mcp-stdio.mjs [--url URL]

  --url URL   the gateway's MCP endpoint (default http://127.0.0.1:2024/mcp)
  --help      this text

Environment: MILLRACE_API_KEY, or API_KEY: the key that the gateway wants, if it wants one.`;

interface StdioOptions {
  url: URL;
  key: string | undefined;
}

function parse(args: string[], env: NodeJS.ProcessEnv): StdioOptions | 'help' {
  let values: { url?: string; help?: boolean };
  try {
    // `pnpm mcp -- --url …` hands the separator on.
    ({ values } = parseArgs({
      args: args[0] === '--' ? args.slice(1) : args,
      options: { url: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
  if (values.help) return 'help';
  const text = values.url ?? 'http://127.0.0.1:2024/mcp';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new UserError(`--url must be an http or https address, as http://127.0.0.1:2024/mcp, not ${text}`);
  }
  if (url.pathname === '/') url.pathname = '/mcp';
  const key = env.MILLRACE_API_KEY || env.API_KEY || undefined;
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new UserError('MILLRACE_API_KEY must be printable ASCII characters without spaces');
  }
  return { url, key };
}

async function main(): Promise<void> {
  const options = parse(process.argv.slice(2), process.env);
  // Also for this: nothing but messages on standard output.
  if (options === 'help') return complain(help);
  const { url, key } = options;
  const gateway = new StreamableHTTPClientTransport(url, {
    requestInit: { headers: key === undefined ? {} : { Authorization: `Bearer ${key}` } },
  });
  await bridge(new StdioServerTransport(), gateway, url.href, complain).run();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0));
try {
  await main();
  // A kept connection would hold the process.
  process.exit(0);
} catch (error) {
  complain(error instanceof UserError ? error.message : String((error as Error).stack));
  process.exit(error instanceof UserError ? 2 : 1);
}
