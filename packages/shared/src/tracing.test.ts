import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, loadConfig } from './config.ts';
import { type TracingConfig, toTracing, tracingConfig } from './config-tracing.ts';

const configOf = (env: Record<string, string>): TracingConfig =>
  toTracing(loadConfig(z.object(tracingConfig), env));

const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
const langfuse = { LANGFUSE_PUBLIC_KEY: 'pk', LANGFUSE_SECRET_KEY: 'sk' };

describe('the standard variables', () => {
  it.each<[string, Record<string, string>]>([
    ['none of them', {}],
    ['a disabled SDK', { ...collector, OTEL_SDK_DISABLED: 'true' }],
    ['no exporter', { ...collector, ...langfuse, OTEL_TRACES_EXPORTER: 'none' }],
    ['half of Langfuse', { LANGFUSE_PUBLIC_KEY: 'pk' }],
  ])('switch traces off: %s', (_, env) => {
    expect(configOf(env)).toEqual({ exporter: undefined, content: false });
  });

  it('say where to and how', () => {
    expect(configOf(collector)).toEqual({ exporter: { protocol: 'http/protobuf' }, content: false });
    expect(
      configOf({
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/traces',
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'True',
        ...langfuse,
      }),
    ).toEqual({ exporter: { protocol: 'http/json' }, content: true });
    expect(configOf({ ...langfuse, LANGFUSE_HOST: 'http://own:3000/' }).exporter).toMatchObject({
      url: 'http://own:3000/api/public/otel/v1/traces',
    });
  });

  it('are refused when they ask for what there is not', () => {
    expect(() =>
      configOf({ ...collector, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_TRACES_EXPORTER: 'zipkin' }),
    ).toThrow(
      new ConfigError([
        'OTEL_TRACES_EXPORTER: must be otlp, none',
        'OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf, http/json',
      ]),
    );
  });
});

// Its API, which does nothing by itself, comes with the metrics.
it('loads nothing of the SDK unless it is on', async () => {
  const script = `
    import { createRequire } from 'node:module';
    import { openTracing } from '@millrace/shared/tracing';
    await import('./src/' + process.argv[1] + '.ts');
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => /node_modules\\/@opentelemetry\\/(?!api)/.test(file));
    const tracing = (exporter) => openTracing({ exporter, content: false }, 'test', undefined);
    await tracing(undefined);
    const off = loaded();
    await (await tracing({ protocol: 'http/json', url: 'http://127.0.0.1:1/' })).close();
    console.log(JSON.stringify([off, loaded()]));`;
  for (const app of ['gateway', 'worker']) {
    const cwd = fileURLToPath(new URL(`../../../apps/${app}`, import.meta.url));
    const args = ['--import', 'tsx', '--input-type=module', '--eval', script, app];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
    expect(stdout.trim()).toBe('[false,true]');
  }
});
