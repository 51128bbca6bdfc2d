import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A span as OTLP's JSON has it, with what it is nested in. */
export interface CollectedSpan {
  service: string;
  name: string;
  /** As OTLP numbers them: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  attributes: Record<string, unknown>;
  /** 2 is an error. */
  status: number;
  links: { traceId: string; spanId: string }[];
}

export interface CollectedRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** Takes what is sent over HTTP, and reads it when it is OTLP in JSON. */
export interface TraceCollector {
  url: string;
  requests: CollectedRequest[];
  spans: CollectedSpan[];
  /** Resolves to what is found, as soon as there is something. */
  find: <T>(look: () => T | undefined | false) => Promise<T>;
  close: () => Promise<void>;
}

type Value = { arrayValue?: { values?: Value[] } } & Record<string, unknown>;

interface OtlpTraces {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: {
      spans: (Omit<CollectedSpan, 'attributes' | 'status' | 'service' | 'links'> & {
        attributes: Attribute[];
        status: { code?: number };
        links?: CollectedSpan['links'];
      })[];
    }[];
  }[];
}
type Attribute = { key: string; value: Value };

export async function startTraceCollector(): Promise<TraceCollector> {
  const requests: CollectedRequest[] = [];
  const spans: CollectedSpan[] = [];
  const watchers = new Set<() => void>();
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ path: request.url ?? '', headers: request.headers, body });
      const isTraces = request.url?.endsWith('/v1/traces') === true;
      if (isTraces && request.headers['content-type'] === 'application/json') spans.push(...read(body));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      for (const watcher of watchers) watcher();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    spans,
    find: (look) =>
      new Promise((resolve) => {
        const watcher = () => {
          const found = look();
          if (!found) return;
          watchers.delete(watcher);
          resolve(found);
        };
        watchers.add(watcher);
        watcher();
      }),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function read(body: Buffer): CollectedSpan[] {
  const { resourceSpans } = JSON.parse(body.toString()) as OtlpTraces;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(attributesOf(resource.attributes)['service.name']);
    return scopeSpans.flatMap((scope) =>
      scope.spans.map(({ attributes, status, links = [], parentSpanId, ...span }) => ({
        ...span,
        service,
        parentSpanId: parentSpanId || undefined,
        attributes: attributesOf(attributes),
        status: status.code ?? 0,
        links,
      })),
    );
  });
}

function attributesOf(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: Value): unknown {
  if (value.arrayValue) return (value.arrayValue.values ?? []).map(plain);
  return Object.values(value)[0];
}
