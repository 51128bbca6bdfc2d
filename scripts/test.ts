// Runs the tests on a private Redis that is gone afterwards: `npx -y pnpm@12 test [vitest arguments]`, or on a cluster
// (`test:cluster`), or with a second Redis for checkpoints (`test:split`).
import { join } from 'node:path';
import { buildApps } from './build.ts';
import { projectRoot } from './paths.ts';
import { complain, say, survivesLostOutput, UserError } from './say.ts';
import { runTests, summary } from './test-run.ts';
import { readTopology } from './test-servers.ts';

const stop = new AbortController();
const force = new AbortController();

survivesLostOutput();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
}
try {
  // `pnpm test -- --bail 1` hands the separator on.
  const { args, open } = readTopology(process.argv.slice(2).filter((arg) => arg !== '--'));
  await buildApps();
  process.exitCode = await runTests({
    args,
    vitest: join(projectRoot, 'node_modules/vitest/vitest.mjs'),
    cwd: projectRoot,
    env: process.env,
    openRedis: (signal) => open({ log: say, signal }),
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
