import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { gatewayVariables } from '../../apps/gateway/src/config.ts';
import { workerVariables } from '../../apps/worker/src/config.ts';
import { scalingConflicts } from './autoscalers.ts';
import { components, compose, deployDir, kustomizations, type Manifest, nameOf } from './kustomize.ts';
import { securityProblems } from './pod-security.ts';
import { environment, workloads } from './pods.ts';
import { danglingReferences, SECRETS } from './references.ts';
import { schemaProblems } from './schemas.ts';
import { COMPOSITIONS, overlays, sets } from './sets.ts';
import {
  appOf,
  budgetProblems,
  demandProblems,
  graceProblems,
  settingsOf,
  unservedQueues,
} from './workers.ts';

const read = (file: string) => readFileSync(join(deployDir, file), 'utf8');

describe.each(sets)('$name', ({ load }) => {
  let objects: Manifest[];
  beforeAll(async () => {
    objects = await load();
  });

  it('names every object once', () => {
    const names = objects.map((object) => `${object.apiVersion} ${nameOf(object)}`);
    expect(names.length).toBeGreaterThan(0);
    expect([...new Set(names)]).toEqual(names);
  });

  it('refers only to what is there', () => {
    expect(danglingReferences(objects)).toEqual([]);
  });

  it('has no two autoscalers at one Deployment', () => {
    expect(scalingConflicts(objects)).toEqual([]);
  });

  it('scales workers by the demand that the code counts', () => {
    expect(demandProblems(objects)).toEqual([]);
  });

  it('has workers for every queue', () => {
    expect(unservedQueues(objects)).toEqual([]);
  });

  it('gives every Pod the time to leave in order', () => {
    expect(graceProblems(objects)).toEqual([]);
  });

  it('keeps to the restricted Pod Security Standard', () => {
    expect(securityProblems(objects)).toEqual([]);
  });

  it('sets only variables that the apps read, to values that they take, and the ports they listen on', () => {
    for (const workload of workloads(objects)) {
      if (appOf(workload) === undefined) continue;
      const { app, env, config } = settingsOf(objects, workload);
      const known = new Set([
        ...(app === 'gateway' ? gatewayVariables : workerVariables),
        ...(SECRETS['millrace-model'] ?? []),
      ]);
      expect(Object.keys(env).filter((name) => !known.has(name) && name !== 'API_KEYS')).toEqual([]);
      const ports = Object.fromEntries(
        workload.containers[0]?.ports?.map(({ name, containerPort }) => [name, containerPort]) ?? [],
      );
      expect(ports).toEqual(
        app === 'gateway' ? { http: config.port, ops: config.opsPort } : { ops: config.port },
      );
    }
  });
});

describe.each(overlays)('$name', ({ load }) => {
  it('lets nodes be emptied', async () => {
    expect(budgetProblems(await load())).toEqual([]);
  });

  it('is reachable under the names it is given', async () => {
    const objects = await load();
    const gateway = workloads(objects).find((workload) => appOf(workload) === 'gateway');
    const settings = gateway && settingsOf(objects, gateway);
    if (settings?.app !== 'gateway') throw new Error('no gateway');
    const hosts = objects
      .filter(({ kind }) => kind === 'Ingress')
      .flatMap(({ spec }) => spec.rules.map((rule: { host: string }) => rule.host));
    const names = ['', '.millrace', '.millrace.svc', '.millrace.svc.cluster.local'].map(
      (suffix) => `millrace-gateway${suffix}`,
    );
    expect(settings.config.allowedHosts).toEqual(expect.arrayContaining([...names, ...hosts]));
  });

  it('chooses a model', async () => {
    const objects = await load();
    const worker = workloads(objects).find((workload) => appOf(workload) === 'worker');
    const settings = worker && settingsOf(objects, worker);
    expect(settings?.env).toMatchObject({ MODEL: expect.stringMatching(/^(demo|\w+:.+)$/) });
  });
});

it('has only objects that keep to the published schemas', async () => {
  const all = (await Promise.all(sets.map(({ load }) => load()))).flat();
  const distinct = new Map(all.map((object) => [JSON.stringify(object), object]));
  expect(await schemaProblems([...distinct.values()])).toEqual([]);
});

it('builds every component', () => {
  const text = kustomizations('overlays').map((dir) => read(`${dir}/kustomization.yaml`));
  const used = (dir: string) =>
    COMPOSITIONS.flat().includes(dir) || text.some((one) => one.includes(`/${dir}\n`));
  expect(components().filter((dir) => !used(dir))).toEqual([]);
});

it('has a page for every component and every overlay', () => {
  const pages = [
    ...new Set(components().map((dir) => dir.split('/').slice(0, 2).join('/'))),
    ...kustomizations('overlays'),
  ];
  expect(pages.filter((dir) => !existsSync(join(deployDir, dir, 'README.md')))).toEqual([]);
});

it('sets every variable of the apps, or tells of it', async () => {
  const objects = await compose(COMPOSITIONS[0] ?? []);
  const set = workloads(objects).flatMap(({ containers }) =>
    containers.flatMap((container) => Object.keys(environment(objects, container))),
  );
  const page = read('README.md');
  const untold = [...gatewayVariables, ...workerVariables].filter(
    (name) => !set.includes(name) && !page.includes(`\`${name}\``),
  );
  expect([...new Set(untold)]).toEqual([]);
});

it('tells operators of every Secret', () => {
  const page = read('README.md');
  expect(Object.keys(SECRETS).filter((name) => !page.includes(name))).toEqual([]);
});

it('deploys the version that the repository has', async () => {
  const { version } = JSON.parse(read('../package.json')) as { version: string };
  const images = (await Promise.all(sets.map(({ load }) => load())))
    .flatMap(workloads)
    .flatMap(({ containers }) => containers.map(({ image }) => image))
    .filter((image) => /(^|\/)millrace:/.test(image));
  expect([...new Set(images.map((image) => image.split(':').at(-1)))]).toEqual([version]);
});

it('has every script that a container runs in the image', async () => {
  const all = (await Promise.all(sets.map(({ load }) => load()))).flatMap(workloads);
  const commands = all.flatMap(({ containers }) => containers.map(({ command }) => command));
  const scripts = commands.flatMap(([program, script = '']) => (program === 'node' ? [script] : []));
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--)(.*) \S+$/gm)].flatMap(([, list = '']) =>
    list.split(' '),
  );
  const ignored = read('../.dockerignore').split('\n');
  expect(new Set(scripts).size).toBeGreaterThan(3);
  for (const script of new Set(scripts)) {
    const from = copied.find((path) => script === path || script.startsWith(`${path}/`));
    expect({ script, from }).toEqual({ script, from: expect.any(String) });
    expect(ignored).toContain(`!${from}`);
  }
});

it('gives Guaranteed Pods what they may use', async () => {
  const objects = await compose(['components/guaranteed']);
  const apps = workloads(objects).filter((workload) => appOf(workload) !== undefined);
  expect(apps).toHaveLength(2);
  for (const { containers } of apps)
    expect(containers[0]?.resources.requests).toEqual(containers[0]?.resources.limits);
});

describe('what must not be put together', () => {
  it.each([
    ['two ScaledObjects', ['keda-redis', 'keda-metrics-api'], 'already'],
    ['KEDA and an HPA', ['keda-redis', 'hpa-external'], 'ScaledObject millrace/millrace-worker'],
    ['two HPAs', ['hpa-resource/basic', 'hpa-resource/advanced'], 'already'],
  ])('%s at one Deployment', async (_, list, why) => {
    const found = await compose(list.map((name) => `components/${name}`)).then(
      scalingConflicts,
      (error: Error) => [error.message],
    );
    expect(found.join()).toContain(why);
  });

  it.each([
    ['Recreate', 'cpu', 1],
    ['InPlaceOrRecreate', 'memory', 1],
    ['Off', 'cpu', 0],
    ['Recreate', 'other', 0],
  ])('a VPA in mode %s and an HPA that follows %s', (updateMode, metric, conflicts) => {
    const metadata = { name: 'x', namespace: 'n' };
    const resource = metric === 'other' ? { type: 'External', external: {} } : { resource: { name: metric } };
    const found = scalingConflicts([
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: {} },
      {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata,
        spec: { scaleTargetRef: { kind: 'Deployment', name: 'x' }, metrics: [resource] },
      },
      {
        apiVersion: 'autoscaling.k8s.io/v1',
        kind: 'VerticalPodAutoscaler',
        metadata,
        spec: { targetRef: { kind: 'Deployment', name: 'x' }, updatePolicy: { updateMode } },
      },
    ]);
    expect(found).toHaveLength(conflicts);
  });
});

describe('the check of schemas', () => {
  const budget = (spec: object) => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'x' },
    spec,
  });

  it('finds a field that no schema knows, deep down', async () => {
    const found = await schemaProblems([
      budget({ minAvailable: 1 }),
      budget({ selector: { matchLabel: { a: 'b' } } }),
    ]);
    expect(found).toEqual([expect.stringMatching(/^PodDisruptionBudget x: TS\d+: .*matchLabel/)]);
  });

  it('finds a wrong type', async () => {
    expect((await schemaProblems([budget({ minAvailable: true })])).join()).toContain('minAvailable');
  });

  it('refuses a kind that nobody has thought of', async () => {
    const strange = { apiVersion: 'strange.io/v1', kind: 'Thing', metadata: { name: 'x' } };
    await expect(schemaProblems([strange])).rejects.toThrow('no schema is known');
  });
});
