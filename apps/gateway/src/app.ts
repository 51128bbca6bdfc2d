import { Refusal } from '@millrace/shared/contract/error';
import type { Logger } from '@millrace/shared/logger';
import { type Registry, registerHttpMetrics } from '@millrace/shared/metrics';
import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { GatewayConfig } from './config.ts';
import type { HttpEnv } from './http/env.ts';
import { problem } from './http/problem.ts';
import { mcpRoutes } from './mcp/routes.ts';
import { auth } from './middleware/auth.ts';
import { bodyLimit } from './middleware/body-limit.ts';
import { cors } from './middleware/cors.ts';
import { hostCheck } from './middleware/host-check.ts';
import { httpMetrics } from './middleware/http-metrics.ts';
import { httpTracing } from './middleware/http-tracing.ts';
import { noStore } from './middleware/no-store.ts';
import { requestId } from './middleware/request-id.ts';
import { requestLog } from './middleware/request-log.ts';
import { assistantRoutes } from './routes/assistants.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { messageRoutes } from './routes/message.ts';
import { runRoutes } from './routes/runs.ts';
import { scaleRoutes } from './routes/scale.ts';
import { infoRoutes, isProbe, opsRoutes, type Readiness } from './routes/system.ts';
import { threadRoutes } from './routes/threads.ts';
import type { Services } from './services.ts';

export interface AppOptions {
  config: Pick<
    GatewayConfig,
    | 'apiKeys'
    | 'allowedHosts'
    | 'allowedOrigins'
    | 'maxBodyBytes'
    | 'waitMs'
    | 'maxWaitMs'
    | 'taskAfterMs'
    | 'opsPort'
  >;
  registry: Registry;
  readiness: Readiness;
}

/** Everything the gateway answers. The order is: who may see it, who asks, what is asked. */
export function createApp(services: Services, options: AppOptions): Hono<HttpEnv> {
  const { config, registry } = options;
  const app = base(services.logger);
  app.use(httpMetrics(registerHttpMetrics(registry)));
  app.use((c, next) => {
    c.set('streams', services.counters.streams);
    return next();
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        c.header('Allow', methods.join(', '));
        const text = `${c.req.method} is not served here; use ${methods.join(', ')}`;
        return problem(c, new Refusal('method_not_allowed', text));
      },
    }),
  );
  // Probes and scrapers come under whatever address the machine has, and without credentials.
  if (config.opsPort === undefined) serveOps(app, services, options);
  app.use(httpTracing(services.tracing));
  app.use(hostCheck(config));
  app.use(cors(config));
  app.route('/', infoRoutes());
  app.use(auth(config.apiKeys));
  app.use(bodyLimit(config.maxBodyBytes));
  for (const face of faces(services, options)) app.route('/', face);
  return app;
}

type OpsOptions = Pick<AppOptions, 'registry' | 'readiness'>;

/** Probes, metrics and what autoscalers ask, alone, for a port of their own. */
export function createOpsApp(services: Services, options: OpsOptions): Hono<HttpEnv> {
  return serveOps(base(services.logger), services, options);
}

function serveOps(app: Hono<HttpEnv>, services: Services, options: OpsOptions): Hono<HttpEnv> {
  return app.route('/', opsRoutes(options.registry, options.readiness)).route('/', scaleRoutes(services));
}

function faces(services: Services, { config, readiness }: AppOptions): Hono<HttpEnv>[] {
  const { drain } = readiness;
  const { waitMs, maxWaitMs, taskAfterMs, maxBodyBytes } = config;
  return [
    messageRoutes(services, { drain, waitMs, maxWaitMs }),
    assistantRoutes(services, { drain }),
    threadRoutes(services, { drain }),
    runRoutes(services, { drain }),
    deadLetterRoutes(services),
    mcpRoutes(services, { drain, waitMs, taskAfterMs, maxBodyBytes }),
  ];
}

function base(logger: Logger): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use(requestId(logger));
  app.use(noStore());
  app.use(requestLog(isProbe));
  app.onError((error, c) => problem(c, error));
  app.notFound((c) => problem(c, new Refusal('not_found', `There is nothing at ${c.req.path}`)));
  return app;
}
