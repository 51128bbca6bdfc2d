// A process of its own: LangGraph's in-memory Agent Server, without its command line.
import { startServer } from '@langchain/langgraph-api/server';
import { leaveWithParent } from './child.ts';

const [port = '0', graphFile = '', workers = '10'] = process.argv.slice(2);
const server = await startServer({
  host: '127.0.0.1',
  port: Number(port),
  nWorkers: Number(workers),
  // It keeps its snapshots here.
  cwd: process.cwd(),
  graphs: { bench: `${graphFile}:graph` },
});
leaveWithParent(() => server.cleanup());
