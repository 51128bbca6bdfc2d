import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { upstreamServer } from './mcp-upstream.ts';

// The same server on standard input and output. `GREETING` shows that variables arrive, `pay` ends the process.

process.stderr.write(`pid ${process.pid} ${process.env.GREETING}\n`);
const server = upstreamServer(({ tool }) => {
  if (tool === 'pay') process.exit(1);
});
server.server.onclose = () => process.exit(0);
process.stdin.on('end', () => process.exit(0));
await server.connect(new StdioServerTransport());
