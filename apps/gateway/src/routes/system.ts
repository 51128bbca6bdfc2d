import { readFileSync } from 'node:fs';
import type { Registry } from '@millrace/shared/metrics';
import { Hono } from 'hono';
import type { HttpEnv } from '../http/env.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Paths that ask how the process is; they need no credentials and tell nothing of any tenant. */
const probePaths: ReadonlySet<string> = new Set(['/livez', '/readyz', '/metrics', '/ok']);

export function isProbe(path: string): boolean {
  return probePaths.has(path) || path.startsWith('/scale/');
}

export interface Readiness {
  /** Redis has been connected and found fit, once. */
  connected: boolean;
  drain: AbortSignal;
}

/**
 * Probes and metrics. `/readyz` fails before the first connection to Redis and while leaving, never for a fault
 * of Redis: the callers are to see the 503, and scaling from zero must still work.
 */
export function opsRoutes(registry: Registry, readiness: Readiness): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get('/livez', (c) => c.text('ok\n'));
  app.get('/readyz', (c) => {
    if (readiness.drain.aborted) return c.text('leaving\n', 503);
    return readiness.connected ? c.text('ok\n') : c.text('waiting for redis\n', 503);
  });
  app.get('/metrics', async (c) =>
    c.body(await registry.metrics(), 200, {
      'Content-Type': registry.contentType,
      'Cache-Control': 'no-store',
    }),
  );
  return app;
}

/** What this is, for people and for the LangGraph clients. */
export function infoRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get('/ok', (c) => c.json({ ok: true }));
  app.get('/info', (c) =>
    c.json({ name: 'millrace', version, flags: { assistants: true, crons: false, langsmith: false } }),
  );
  app.get('/', (c) =>
    c.json({
      name: 'millrace',
      version,
      faces: {
        mcp: '/mcp',
        message: '/message',
        langgraph: ['/assistants', '/threads', '/runs'],
        system: ['/ok', '/info', '/livez', '/readyz', '/metrics', '/scale/{queue}'],
      },
    }),
  );
  return app;
}
