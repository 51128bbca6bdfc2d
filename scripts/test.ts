// Runs the tests on a private Redis that is gone afterwards: `npx -y pnpm@12 test [vitest arguments]`.
import { join } from 'node:path';
import { projectRoot } from './paths.ts';
import { startRedis } from './private-redis.ts';
import { complain, say, survivesLostOutput, UserError } from './say.ts';
import { runTests, summary } from './test-run.ts';

const stop = new AbortController();
const force = new AbortController();

survivesLostOutput();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
}
const args = process.argv.slice(2);
try {
  process.exitCode = await runTests({
    // `pnpm test -- --bail 1` hands the separator on.
    args: args[0] === '--' ? args.slice(1) : args,
    vitest: join(projectRoot, 'node_modules/vitest/vitest.mjs'),
    cwd: projectRoot,
    env: process.env,
    openRedis: (signal) => startRedis({ ephemeral: true, log: say, signal, graceSeconds: 5 }),
    say,
    stop: stop.signal,
    force: force.signal,
  });
} catch (error) {
  process.exitCode = 1;
  if (error instanceof UserError) complain(error.message);
  else if (!stop.signal.aborted) complain(`${(error as Error).stack ?? error}`);
  say(summary({ passed: 0, failed: 1, skipped: 0 }));
}
