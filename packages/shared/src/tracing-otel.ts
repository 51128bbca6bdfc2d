import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Context,
  context,
  DiagLogLevel,
  diag,
  type Span as OtelSpan,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { TraceExporter } from './config-tracing.ts';
import type { TraceContext } from './contract/trace.ts';
import type { Logger } from './logger.ts';
import type { Span, SpanAttributes, SpanOptions, Tracing } from './tracing.ts';

const CLOSE_MS = 3_000;

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/**
 * Tracing by OpenTelemetry's SDK, which reads all other standard variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER,
 * OTEL_BSP_*, OTEL_EXPORTER_OTLP_HEADERS, …) itself.
 */
export async function openTelemetry(
  exporter: TraceExporter,
  options: { service: string; content: boolean; logger: Logger },
): Promise<Tracing> {
  tellFaults(options.logger);
  const provider = new NodeTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': options.service }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(await exporterOf(exporter))],
  });
  // Globally, so that spans of a graph's own code belong to the same traces.
  provider.register();
  const tracer = provider.getTracer('millrace');
  return {
    on: true,
    content: options.content,
    start: (name, { kind = 'internal', parent, link, attributes = {} }: SpanOptions = {}) => {
      const linked = link instanceof LiveSpan ? [{ context: link.span.spanContext() }] : [];
      const span = tracer.startSpan(
        name,
        { kind: kinds[kind], attributes, links: linked },
        contextOf(parent),
      );
      return new LiveSpan(span);
    },
    within: (span, work) => (span instanceof LiveSpan ? context.with(span.within, work) : work()),
    close: async () => {
      const enough = new AbortController();
      const closed = provider.shutdown().catch(() => undefined);
      await Promise.race([
        closed,
        sleep(CLOSE_MS, undefined, { signal: enough.signal }).catch(() => undefined),
      ]);
      enough.abort();
    },
  };
}

class LiveSpan implements Span {
  readonly span: OtelSpan;
  readonly within: Context;

  constructor(span: OtelSpan) {
    this.span = span;
    this.within = trace.setSpan(ROOT_CONTEXT, span);
  }

  get context(): TraceContext | undefined {
    const carrier: { traceparent?: string; tracestate?: string } = {};
    propagation.inject(this.within, carrier);
    const { traceparent, tracestate } = carrier;
    return traceparent === undefined ? undefined : { traceparent, ...(tracestate && { tracestate }) };
  }

  rename(name: string): void {
    this.span.updateName(name);
  }

  set(attributes: SpanAttributes): void {
    this.span.setAttributes(attributes);
  }

  end(failure?: string): void {
    if (failure !== undefined) {
      this.span.setAttribute('error.type', failure);
      this.span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.span.end();
  }
}

function contextOf(parent: Span | TraceContext | undefined): Context {
  if (parent instanceof LiveSpan) return parent.within;
  const remote = parent && ('traceparent' in parent ? parent : parent.context);
  return remote ? propagation.extract(ROOT_CONTEXT, remote) : ROOT_CONTEXT;
}

async function exporterOf({ protocol, ...options }: TraceExporter): Promise<SpanExporter> {
  const { OTLPTraceExporter } =
    protocol === 'http/json'
      ? await import('@opentelemetry/exporter-trace-otlp-http')
      : await import('@opentelemetry/exporter-trace-otlp-proto');
  return new OTLPTraceExporter(options);
}

/** A collector that is away would fill the log. */
function tellFaults(logger: Logger): void {
  let last = '';
  const tell = (message: string, ...details: unknown[]) => {
    if (message !== last) logger.warn({ details }, `tracing: ${message}`);
    last = message;
  };
  const ignore = () => undefined;
  diag.setLogger(
    { error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore },
    DiagLogLevel.WARN,
  );
}
