// Publishes the graphs this worker would load, and leaves: for deployments that begin without a worker.
import { Catalog } from '@millrace/shared/catalog';
import { Keys } from '@millrace/shared/keys';
import { createLogger } from '@millrace/shared/logger';
import { checkServer, connect, whenReady } from '@millrace/shared/redis';
import { workerConfig } from './config.ts';
import { loadWorkerGraphs } from './graphs.ts';
import { toCatalogEntry } from './loader/loaded-graph.ts';

try {
  const config = workerConfig(process.env);
  const logger = createLogger('publish-catalog', config.logLevel);
  const { graphs } = await loadWorkerGraphs(config);
  const redis = connect(config.redis, 'worker', logger);
  await whenReady(redis);
  await checkServer(redis, { variable: 'REDIS_URL', allowEviction: config.allowEviction });
  await new Catalog(redis, new Keys(config.prefix)).publish(graphs.map((graph) => toCatalogEntry(graph)));
  logger.info({ graphs: graphs.map((graph) => graph.name) }, 'published');
  redis.disconnect();
  // What a project's own modules hold open is no reason to stay.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
