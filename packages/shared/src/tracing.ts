import type { TracingConfig } from './config-tracing.ts';
import type { TraceContext } from './contract/trace.ts';
import type { Logger } from './logger.ts';

export type SpanAttributes = Record<string, string | number | boolean | string[] | undefined>;

/** A piece of work in a trace. */
export interface Span {
  /** What work that it leads to elsewhere names as its parent; undefined when there is no trace. */
  readonly context: TraceContext | undefined;
  rename: (name: string) => void;
  set: (attributes: SpanAttributes) => void;
  /** @param failure the kind of the error, if it failed: never a message, which may quote a prompt */
  end: (failure?: string) => void;
}

export interface SpanOptions {
  kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  parent?: Span | TraceContext | undefined;
  /** Another piece of work that has to do with it. */
  link?: Span | undefined;
  attributes?: SpanAttributes;
}

/** OpenTelemetry, as much as is used of it; its SDK is not loaded unless it is on. */
export interface Tracing {
  readonly on: boolean;
  /** Whether prompts and answers may be told. */
  readonly content: boolean;
  start: (name: string, options?: SpanOptions) => Span;
  /** Does work so that spans of others, of a graph's own code for example, come under this one. */
  within: <T>(span: Span, work: () => T) => T;
  /** Sends what is left, for three seconds at most. */
  close: () => Promise<void>;
}

/** Tells nobody, and passes on what trace there is. */
export const noTracing: Tracing = {
  on: false,
  content: false,
  start: (_name, { parent } = {}) => ({
    context: parent && ('traceparent' in parent ? parent : parent.context),
    rename: () => undefined,
    set: () => undefined,
    end: () => undefined,
  }),
  within: (_span, work) => work(),
  close: async () => undefined,
};

/** @param service what the process is called in traces, unless OTEL_SERVICE_NAME says otherwise */
export async function openTracing(config: TracingConfig, service: string, logger: Logger): Promise<Tracing> {
  if (!config.exporter) return noTracing;
  const { openTelemetry } = await import('./tracing-otel.ts');
  return openTelemetry(config.exporter, { service, content: config.content, logger });
}
