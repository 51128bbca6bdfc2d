import { build, compose, kustomizations, type Manifest } from './kustomize.ts';

/**
 * Components as an operator would put them together, each after those it stands on. Every component is in one of them,
 * or in an overlay.
 */
export const COMPOSITIONS = [
  [
    'redis',
    'keda-redis',
    'tenant-pool',
    'scale-to-zero',
    'hpa-resource/basic',
    'vpa/off',
    'monitoring',
    'pod-deletion-cost',
    'external-secrets',
  ],
  ['redis', 'keda-redis', 'keda-cron', 'spot', 'guaranteed', 'vpa/recreate'],
  ['redis', 'keda-redis', 'keda-cron/cronjob'],
  ['redis', 'keda-metrics-api', 'scale-to-zero', 'vpa/in-place'],
  ['redis', 'prometheus-adapter', 'hpa-external', 'hpa-resource/advanced'],
].map((list) => list.map((name) => `components/${name}`));

export interface ManifestSet {
  name: string;
  load: () => Promise<Manifest[]>;
}

export const overlays: ManifestSet[] = kustomizations('overlays').map((dir) => ({
  name: dir,
  load: () => build(dir),
}));

/** Everything an operator can apply. */
export const sets: ManifestSet[] = [
  { name: 'base', load: () => build('base') },
  ...overlays,
  ...COMPOSITIONS.map((list) => ({ name: list.join(' + '), load: () => compose(list) })),
];
