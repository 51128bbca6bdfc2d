// The official conformance suite of MCP against a real gateway with real workers:
// `npx -y pnpm@12 conformance [--only <scenario>]`. The last line has the counts of its checks.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildApps } from '../../scripts/build.ts';
import { conformanceCacheDir } from '../../scripts/paths.ts';
import { complain, say, survivesLostOutput, UserError } from '../../scripts/say.ts';
import { exceptions } from './exceptions.ts';
import { startFleet } from './fleet.ts';
import { revisions, Suite } from './suite.ts';
import { judge } from './verdict.ts';

const stop = new AbortController();
survivesLostOutput();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

const args = process.argv.slice(2);
const { values } = parseArgs({
  // `pnpm conformance -- --only tools-list` hands the separator on.
  args: args[0] === '--' ? args.slice(1) : args,
  options: { only: { type: 'string' } },
});

try {
  await buildApps();
  const suite = await Suite.open(conformanceCacheDir, say, stop.signal);
  const { passed, failed, lines } = await conform(suite, values.only);
  stop.signal.throwIfAborted();
  for (const line of lines) say(line);
  say(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
} catch (error) {
  process.exitCode = 1;
  if (error instanceof UserError) complain(error.message);
  else if (!stop.signal.aborted) complain(`${(error as Error).stack ?? error}`);
  say('0 passed, 1 failed');
}

async function conform(suite: Suite, only: string | undefined) {
  const known = await Promise.all(revisions.map((revision) => suite.scenarios(revision)));
  const wanted = revisions.filter((_, i) => only === undefined || known[i]?.includes(only));
  if (wanted.length === 0)
    throw new UserError(`--only must be one of ${[...new Set(known.flat())].join(', ')}`);
  const out = await mkdtemp(join(tmpdir(), 'millrace-conformance-'));
  const fleet = await startFleet(say, stop.signal);
  try {
    const results = await Promise.all(
      wanted.map((revision) => suite.run(fleet.url, revision, join(out, revision), only)),
    );
    return judge(results.flat(), exceptions, only === undefined);
  } finally {
    await fleet.stop();
    await rm(out, { recursive: true, force: true });
  }
}
