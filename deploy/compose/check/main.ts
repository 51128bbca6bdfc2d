// Builds the image, runs docker-compose.yml for real and disturbs it: `npx -y pnpm@12 compose:check --help`.
import { parseArgs } from 'node:util';
import { complain, say, survivesLostOutput, UserError } from '../../../scripts/say.ts';
import { Engine } from './engine.ts';
import { Project } from './project.ts';
import { tell } from './story.ts';

const help = `Usage: npx -y pnpm@12 compose:check [--build-network NAME]

Needs a container engine (docker, or DOCKER_HOST) on this machine, with Compose 2 or 1.29. Builds the image, brings
docker-compose.yml up under a name and ports of its own, sends slow runs through the load balancer, scales gateways and
workers up and down meanwhile, kills a worker, and looks whether every accepted run has succeeded, once. Then the profile
observability. Takes some minutes, and removes everything it made.

  --build-network NAME  for what the build downloads, as host; see docker build --network

NODE_IMAGE, REDIS_IMAGE, LOAD_BALANCER_IMAGE, PROMETHEUS_IMAGE and GRAFANA_IMAGE name other images than
docker-compose.yml does. Without the last two, what they show is not checked, and the summary says so.`;

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv[0] === '--' ? argv.slice(1) : argv,
      options: { 'build-network': { type: 'string' }, help: { type: 'boolean', default: false } },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

async function main(): Promise<void> {
  survivesLostOutput();
  const given = options(process.argv.slice(2));
  if (given.help) return say(help);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  const engine = await Engine.find(process.env);
  const project = await Project.create(engine);
  engine.signal = stop.signal;
  try {
    const problems = await tell(project, given['build-network']);
    for (const problem of problems) complain(`WRONG: ${problem}`);
    say(problems.length === 0 ? 'passed' : `FAILED: ${problems.length} problems`);
    if (problems.length > 0) process.exitCode = 1;
  } catch (error) {
    throw stop.signal.aborted ? new UserError('stopped') : error;
  } finally {
    engine.signal = undefined;
    say('Removing everything ...');
    await project.down().catch((error: Error) => {
      process.exitCode = 1;
      complain(error.message);
    });
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
}
// What was given up may still have requests open.
process.exit();
