import { say, UserError } from '../../../scripts/say.ts';
import { Caller } from './caller.ts';
import { grafanaProblems, prometheusProblems } from './observability.ts';
import type { Project } from './project.ts';

const LANES = 16;
const FETCH_MS = 300_000;
/** How long after the last order a run may take to end. */
const END_MS = 120_000;
const AT_WORK_MS = 60_000;

/** What is done to the project, in this order. @returns what is wrong */
export async function tell(project: Project, network: string | undefined): Promise<string[]> {
  const problems: string[] = [];
  const began = Date.now();
  const step = (text: string) =>
    say(`${`${Math.round((Date.now() - began) / 1000)} s`.padStart(6)}  ${text}`);

  step(`building ${project.image}`);
  await project.build(network);
  problems.push(...(await imageProblems(project)));
  for (const [service, variable] of [
    ['redis', 'REDIS_IMAGE'],
    ['load-balancer', 'LOAD_BALANCER_IMAGE'],
  ] as const) {
    const image = project.imageOf(service);
    if (!(await project.engine.hasImage(image, FETCH_MS))) {
      throw new UserError(`${image} cannot be had; name another with ${variable}`);
    }
  }

  step(`starting ${project.name} at ${project.url}: 1 gateway, 2 workers`);
  await project.up({ gateway: 1, worker: 2 });

  const caller = new Caller(project);
  const quiet = new AbortController();
  const news = (text: string) => step(`${caller.accepted.length} runs accepted; ${text}`);
  await Promise.all([
    caller.drive(LANES, quiet.signal),
    disturb(project, caller, news)
      .then((found) => problems.push(...found))
      .finally(() => quiet.abort()),
  ]);
  news('waiting for their ends');
  const verdicts = await Promise.all(caller.accepted.map((run) => caller.verdict(run, END_MS)));
  problems.push(...verdicts.flatMap((verdict) => verdict.problems));
  if (new Set(caller.accepted).size !== caller.accepted.length) problems.push('a run was accepted twice');
  const good = verdicts.filter((verdict) => verdict.problems.length === 0).length;
  const moved = verdicts.filter(({ attempts }) => attempts > 1).length;
  if (moved === 0) problems.push('no run went from one worker to another: nothing was shown');
  const again = Object.entries(caller.refusals).map(([what, count]) => `${what}: ${count}`);
  step(`${good} of ${verdicts.length} runs succeeded, once; ${moved} of them went from worker to worker`);
  step(`sent again: ${again.join(', ') || 'nothing'}`);

  const looking = { gateway: 2, worker: 3 };
  for (const { service, variable, check } of [
    { service: 'prometheus', variable: 'PROMETHEUS_IMAGE', check: prometheusProblems },
    { service: 'grafana', variable: 'GRAFANA_IMAGE', check: grafanaProblems },
  ]) {
    const image = project.imageOf(service);
    if (!(await project.engine.hasImage(image, FETCH_MS))) {
      step(`NOT CHECKED: ${service}; ${image} cannot be had; name another with ${variable}`);
      continue;
    }
    await project.up(looking, [service]);
    const found = await check(project, looking);
    step(`${service}: ${found.length === 0 ? 'sees what it should' : 'see below'}`);
    problems.push(...found);
  }
  return problems;
}

/** What happens while runs come in, each time with some of them at work. */
async function disturb(project: Project, caller: Caller, news: (text: string) => void): Promise<string[]> {
  const problems: string[] = [];
  await busiest(project);
  if (!(await caller.seesEventsEarly())) problems.push('events come in a lump, at the end of the run');
  news('up to 3 gateways, 4 workers');
  await project.up({ gateway: 3, worker: 4 });
  for (const gateway of await project.containers('gateway')) await answers(project, gateway);
  const victim = await busiest(project);
  news(`every gateway has answered; killing worker ${victim.slice(0, 12)}`);
  await project.engine.docker(['kill', victim]);
  await busiest(project);
  news('down to 1 gateway, 2 workers');
  await project.up({ gateway: 1, worker: 2 });
  await busiest(project);
  news('up to 2 gateways, 3 workers');
  await project.up({ gateway: 2, worker: 3 });
  await busiest(project);
  return problems;
}

/** What is wrong with the image as it was built. */
async function imageProblems({ engine, image }: Project): Promise<string[]> {
  const inside = (script: string) => engine.docker(['run', '--rm', '--read-only', image, 'sh', '-c', script]);
  const problems: string[] = [];
  if ((await inside('id -u')).trim() === '0') problems.push('the image runs as root');
  const path = await engine.docker([
    'inspect',
    '--format',
    '{{index .Config.Labels "millrace.sbom"}}',
    image,
  ]);
  const { bomFormat, components } = JSON.parse(await inside(`cat ${path.trim()}`));
  if (bomFormat !== 'CycloneDX' || !(components.length > 0))
    problems.push('the image has no bill of materials');
  return problems;
}

/** The worker that executes most runs, once one does. */
async function busiest(project: Project): Promise<string> {
  const enough = Date.now() + AT_WORK_MS;
  for (;;) {
    const workers = await project.containers('worker');
    const loads = await Promise.all(
      workers.map(async (id) => ({ id, runs: await project.metric(id, 'millrace_worker_attempts') })),
    );
    const [most] = loads.sort((a, b) => b.runs - a.runs);
    if (most && most.runs > 0) return most.id;
    if (Date.now() > enough) throw new Error('no worker executes anything');
  }
}

/** Waits until this gateway has been sent a request. */
async function answers(project: Project, gateway: string): Promise<void> {
  const enough = Date.now() + AT_WORK_MS;
  while ((await project.metric(gateway, 'http_requests_total')) === 0) {
    if (Date.now() > enough) throw new Error(`gateway ${gateway} is sent nothing`);
  }
}
