import type { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import type { EventReader } from '@millrace/shared/event-reader';
import type { Logger } from '@millrace/shared/logger';
import type { Doorbell } from '@millrace/shared/queue';
import type { RunStore } from '@millrace/shared/run-store';
import type { CatalogCache } from './catalog-cache.ts';

/** What the use cases work with. Routes and MCP hand it on and never look inside. */
export interface Services {
  store: RunStore;
  doorbell: Doorbell;
  events: EventReader;
  catalog: CatalogCache;
  /** The checkpoints of one tenant. */
  checkpoints: (tenant: string) => CheckpointReader;
  logger: Logger;
}
