import type { z } from 'zod';
import { flag, oneOf, optionalText, VariableFault, variable } from './config-fields.ts';

const url = () => optionalText(/^https?:\/\/\S+$/, 'an http or https URL');

const protocols = ['http/protobuf', 'http/json'] as const;

/** OpenTelemetry's GenAI conventions say true or false; some libraries, where to. */
const captureContent = variable(false, (given) => {
  if (/^(true|1|span_only|span_and_event)$/i.test(given)) return true;
  if (/^(false|0|no_content|event_only)$/i.test(given)) return false;
  throw new VariableFault('must be true or false');
});

/** Fields of whether and where traces are sent; {@link toTracing} makes a value of them. */
export const tracingConfig = {
  OTEL_SDK_DISABLED: flag(false),
  OTEL_TRACES_EXPORTER: oneOf(['otlp', 'none'], 'otlp'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url(),
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf(protocols, 'http/protobuf'),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: oneOf(['', ...protocols], ''),
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: captureContent,
  LANGFUSE_PUBLIC_KEY: optionalText(),
  LANGFUSE_SECRET_KEY: optionalText(),
  LANGFUSE_BASE_URL: url(),
  LANGFUSE_HOST: url(),
};

export interface TraceExporter {
  protocol: (typeof protocols)[number];
  /** As the SDK finds them in the environment when absent. */
  url?: string;
  headers?: Record<string, string>;
}

export interface TracingConfig {
  /** Undefined: no traces. */
  exporter: TraceExporter | undefined;
  /** Whether prompts and answers may be in them. */
  content: boolean;
}

/** An endpoint of OpenTelemetry's own variables goes before Langfuse's: a collector can pass traces on to it. */
export function toTracing(env: z.infer<z.ZodObject<typeof tracingConfig>>): TracingConfig {
  const content = env.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT;
  if (env.OTEL_SDK_DISABLED || env.OTEL_TRACES_EXPORTER === 'none') return { exporter: undefined, content };
  if (env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT) {
    const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL;
    return { exporter: { protocol }, content };
  }
  return { exporter: langfuse(env), content };
}

function langfuse(env: z.infer<z.ZodObject<typeof tracingConfig>>): TraceExporter | undefined {
  const { LANGFUSE_PUBLIC_KEY: name, LANGFUSE_SECRET_KEY: secret } = env;
  if (name === undefined || secret === undefined) return undefined;
  const base = env.LANGFUSE_BASE_URL ?? env.LANGFUSE_HOST ?? 'https://cloud.langfuse.com';
  return {
    protocol: 'http/protobuf',
    url: `${base.replace(/\/+$/, '')}/api/public/otel/v1/traces`,
    headers: {
      Authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
      'x-langfuse-ingestion-version': '4',
    },
  };
}
