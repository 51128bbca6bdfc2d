// Loaded into a process under test before its own code: tells what the process holds each time it gets SIGUSR2. Without
// a collection of what is garbage first, a heap says little.
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const descriptors = () => {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Linux alone has it.
    return 0;
  }
};

process.on('SIGUSR2', () => {
  // What was freed may free more, by finalizers.
  collect();
  setImmediate(() => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo();
    const count = (type: string) => resources.filter((one) => one === type).length;
    const vitals = {
      heapBytes: heapUsed + external,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      sockets: count('TCPSocketWrap'),
      timers: count('Timeout'),
      descriptors: descriptors(),
    };
    process.stdout.write(`${JSON.stringify({ vitals })}\n`);
  });
});
