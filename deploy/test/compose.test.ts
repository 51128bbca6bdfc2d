import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { gatewayVariables, readConfig } from '../../apps/gateway/src/config.ts';
import { workerConfig, workerVariables } from '../../apps/worker/src/config.ts';
import { deployDir } from './kustomize.ts';
import { mounted, type Service, services, settings } from './services.ts';
import { CLOSING_SECONDS } from './workers.ts';

const all = services();
const service = (name: string): Service => {
  const found = all[name];
  if (!found) throw new Error(`docker-compose.yml has no ${name}`);
  return found;
};
/** What the apps make of what they are given. */
const gateway = readConfig({ ...settings(service('gateway')), HOST: '0.0.0.0' });
const worker = workerConfig({ ...settings(service('worker')), WORKER_HOST: '0.0.0.0' });

describe.each(Object.entries(all))('%s', (name, one) => {
  it('may do no more than it must', () => {
    expect(one).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      restart: 'unless-stopped',
    });
  });

  it('has the limits that README.md tells', () => {
    const page = readFileSync(join(deployDir, 'README.md'), 'utf8').replace(/ +/g, ' ');
    expect(one.pids_limit).toBe(200);
    expect(page).toContain(`| \`${name}\` | ${one.cpus} CPU, ${one.mem_limit} |`);
  });

  it('has an image of a certain version, and says whether it is well', () => {
    if (one.build) return expect(one.image).toBe('millrace');
    expect(one.image).toMatch(/:v?\d[\w.-]*$/);
    expect(one.healthcheck?.test.length).toBeGreaterThan(1);
  });

  it('is published on loopback, if at all', () => {
    const published = (one.ports ?? []).map((port) => port.split(':'));
    expect(published.map(([address]) => address)).toEqual(published.map(() => '127.0.0.1'));
    // What there may be many of cannot have a port of this machine.
    if (one.build) expect(published).toEqual([]);
  });
});

describe.each([
  { name: 'gateway', known: gatewayVariables, config: gateway, base: 'gateway.yaml' },
  { name: 'worker', known: workerVariables, config: worker, base: 'worker/worker.yaml' },
])('the $name', ({ name, known, config, base }) => {
  it('is given only variables that it, its model or LangSmith reads', () => {
    const given = Object.keys(service(name).environment ?? {});
    const foreign = /^(LANGSMITH_|OTEL_|OPENAI_API_KEY$|OPS_PORT$)/;
    expect(given.filter((one) => !known.includes(one) && !foreign.test(one))).toEqual([]);
  });

  it('has the time to leave in order', () => {
    const grace = Number(/^(\d+)s$/.exec(service(name).stop_grace_period ?? '')?.[1]);
    expect(grace).toBeGreaterThan(config.drainMs / 1000 + CLOSING_SECONDS);
  });

  it('may use what it may in the cluster', () => {
    const text = readFileSync(join(deployDir, 'base', base), 'utf8');
    const { limits } = parse(text).spec.template.spec.containers[0].resources;
    const { cpus, mem_limit } = service(name);
    expect(`${cpus} ${mem_limit.replace(/([mg])$/, (unit) => `${unit.toUpperCase()}i`)}`).toBe(
      `${limits.cpu} ${limits.memory}`,
    );
  });
});

describe('the load balancer', () => {
  const balancer = service('load-balancer');
  const text = readFileSync(mounted(balancer, '/usr/local/etc/haproxy/haproxy.cfg'), 'utf8');

  it('sends requests and checks to the ports of a gateway', () => {
    expect(text).toContain(` gateway:${gateway.port} `);
    expect(text).toContain(` check port ${gateway.opsPort} `);
    expect(text).toContain('uri /readyz');
  });

  it('is published where it listens, under a name that gateways know', () => {
    const [port] = balancer.ports ?? [];
    const inside = port?.split(':').at(-1);
    expect(text).toContain(`bind :${inside}\n`);
    expect(balancer.healthcheck?.test.at(-1)).toBe(`http://127.0.0.1:${inside}/readyz`);
    expect(gateway.allowedHosts).toContain('load-balancer');
  });

  it('sends nothing twice that a gateway may have seen', () => {
    expect(text).toMatch(/^ *retry-on conn-failure$/m);
    expect(text).toMatch(/^ *balance leastconn$/m);
  });

  it('is given longer to leave than it takes', () => {
    const takes = Number(/hard-stop-after (\d+)s/.exec(text)?.[1]);
    expect(Number(balancer.stop_grace_period?.replace('s', ''))).toBeGreaterThan(takes);
  });
});

describe('Prometheus', () => {
  const prometheus = service('prometheus');
  const config = mounted(prometheus, '/etc/prometheus/prometheus.yml');
  const [script = ''] = prometheus.command ?? [];

  it('reads its files where they are mounted', () => {
    expect(script).toContain('--config.file=/etc/prometheus/prometheus.yml');
    expect(prometheus.volumes).toContain(`prometheus-data:${/storage\.tsdb\.path=(\S+)/.exec(script)?.[1]}`);
  });

  it('asks every gateway and worker, as often as in the cluster and under names that alerts know', () => {
    const { global, scrape_configs } = parse(readFileSync(config, 'utf8'));
    const jobs = scrape_configs.map(
      (job: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }) => ({
        job: job.job_name,
        ...job.dns_sd_configs[0],
      }),
    );
    expect(jobs).toEqual([
      expect.objectContaining({ job: 'millrace-gateway', names: ['gateway'], port: gateway.opsPort }),
      expect.objectContaining({ job: 'millrace-worker', names: ['worker'], port: worker.port }),
    ]);
    const monitors = readFileSync(join(deployDir, 'components/monitoring/monitors.yaml'), 'utf8');
    expect(monitors).toContain(`interval: ${global.scrape_interval}`);
  });
});

describe('Grafana', () => {
  const grafana = service('grafana');
  const provisioned = (what: string) =>
    parse(readFileSync(mounted(grafana, `/etc/grafana/provisioning/${what}/millrace.yaml`), 'utf8'));

  it('has Prometheus for its default', () => {
    const { datasources } = provisioned('datasources');
    const inside = service('prometheus').ports?.[0]?.split(':').at(-1);
    expect(datasources).toEqual([
      expect.objectContaining({
        type: 'prometheus',
        isDefault: true,
        url: `http://prometheus:${inside}`,
      }),
    ]);
  });

  it('shows the dashboards of the cluster', () => {
    const { providers } = provisioned('dashboards');
    const dir = mounted(grafana, providers[0].options.path);
    expect(readdirSync(dir).sort()).toEqual(readdirSync(join(deployDir, 'components/monitoring/dashboards')));
    expect(dir).toContain('deploy/components/monitoring/dashboards');
  });

  it('lets nobody change anything', () => {
    expect(grafana.environment).toMatchObject({
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
      GF_AUTH_BASIC_ENABLED: 'false',
      GF_AUTH_DISABLE_LOGIN_FORM: 'true',
    });
  });
});
