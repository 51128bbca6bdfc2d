import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { upstreamServer } from './mcp-upstream.ts';

// The same server on standard input and output. `GREETING` shows that variables arrive, `pay` ends the process.

process.stderr.write(`pid ${process.pid} ${process.env.GREETING}\n`);
const server = upstreamServer(({ tool }) => {
  if (tool === 'pay') process.exit(1);
});
// With `STUBBORN` it leaves only when it is told to.
if (process.env.STUBBORN) setInterval(() => undefined, 1_000);
else process.stdin.on('end', () => process.exit(0));
await server.connect(new StdioServerTransport());
