import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { deployDir, type Manifest, nameOf } from './kustomize.ts';

/** Package that has the published schemas of an API group's kinds. */
const PACKAGES: Record<string, string> = {
  'keda.sh': '@kubernetes-models/keda/keda.sh',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/monitoring.coreos.com',
  'external-secrets.io': '@kubernetes-models/external-secrets/external-secrets.io',
  'autoscaling.k8s.io': '@kubernetes-models/autoscaler/autoscaling.k8s.io',
};

/** Groups of Kubernetes itself. */
const OWN = new Set([
  '',
  'apps',
  'autoscaling',
  'batch',
  'policy',
  'networking.k8s.io',
  'rbac.authorization.k8s.io',
  'apiregistration.k8s.io',
]);

/** Where a published schema is older than what it describes: what is checked in its place, and why. */
const OLDER: Record<string, { reason: string; instead: (object: Manifest) => Manifest }> = {
  'autoscaling.k8s.io/v1 VerticalPodAutoscaler': {
    reason:
      'the schema is older than updateMode InPlaceOrRecreate (VPA 1.4); checked with Recreate in its place',
    instead: (object) => {
      const mode = object.spec.updatePolicy.updateMode;
      const updateMode = mode === 'InPlaceOrRecreate' ? 'Recreate' : mode;
      return {
        ...object,
        spec: { ...object.spec, updatePolicy: { ...object.spec.updatePolicy, updateMode } },
      };
    },
  },
};

/** The module with a kind's schema. */
function moduleOf({ apiVersion, kind }: Manifest): string {
  const [group = '', version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const base = PACKAGES[group] ?? (OWN.has(group) ? `kubernetes-models/${group}` : undefined);
  if (base === undefined) throw new Error(`${apiVersion} ${kind}: no schema is known; add its package`);
  return `${base.replace(/\/$/, '')}/${version}/${kind}`;
}

/**
 * What is wrong with objects by the published schemas: types, required fields and patterns by their validators, unknown
 * fields (which validators let pass) by the TypeScript compiler.
 */
export async function schemaProblems(objects: Manifest[]): Promise<string[]> {
  const known = objects
    .map((object) => OLDER[`${object.apiVersion} ${object.kind}`]?.instead(object) ?? object)
    .map((object) => ({ object, module: moduleOf(object) }));
  const problems: string[] = [];
  for (const { object, module } of known) {
    const { [object.kind]: Model } = (await import(module)) as Record<
      string,
      new (
        data: unknown,
      ) => { validate: () => void }
    >;
    if (Model === undefined) throw new Error(`${module} has no ${object.kind}`);
    try {
      new Model(object).validate();
    } catch (error) {
      problems.push(`${nameOf(object)}: ${(error as Error).message}`);
    }
  }
  return [...problems, ...(await unknownFields(known))];
}

async function unknownFields(known: { object: Manifest; module: string }[]): Promise<string[]> {
  // Within the package, so that the compiler finds the schemas.
  const dir = mkdtempSync(join(deployDir, 'node_modules/.check-'));
  try {
    const lines = known.flatMap(({ object, module }, i) => [
      `import type { I${object.kind} as T${i} } from '${module}';`,
      `export const o${i}: T${i} = ${JSON.stringify(object)};`,
    ]);
    writeFileSync(join(dir, 'objects.ts'), `${lines.join('\n')}\n`);
    const compilerOptions = { noEmit: true, strict: true, skipLibCheck: true, types: [], module: 'nodenext' };
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['objects.ts'] }));
    const tsc = join(projectRoot, 'node_modules/.bin/tsc');
    const result = await runCommand(tsc, ['--project', dir], { timeoutMs: 120_000 });
    const complaints = result.stdout.split('\n').filter((line) => line.includes('error TS'));
    if (result.code !== 0 && complaints.length === 0) throw new Error(result.stdout + result.stderr);
    return complaints.map((line) => {
      const at = Number(/objects\.ts\((\d+),/.exec(line)?.[1]);
      const object = known[Math.floor((at - 1) / 2)]?.object;
      return `${object ? nameOf(object) : line}: ${line.replace(/^.*?error /, '')}`;
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
