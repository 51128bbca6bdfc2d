/**
 * Every key name of Millrace, for TypeScript and for the Lua scripts.
 *
 * A partition's keys share the hash tag of its root, so that each script stays within one slot of Redis
 * Cluster; BullMQ's prefix, the catalog and the queues' pace have tags of their own.
 */

/** Part of each partition's keys: field name in `keys` → text between the root and the id. */
const records = {
  run: ':run:',
  events: ':events:',
  chain: ':chain:',
  thread: ':thread:',
  mailbox: ':mailbox:',
  lease: ':lease:',
  threadRuns: ':runs:',
  finished: ':finished:',
  idempotency: ':idem:',
  tenantOpen: ':open:',
  tenantDead: ':dead:',
  tenantChains: ':chains:',
  ended: ':ended:',
} as const;

/** What each partition has one of. */
const indexes = {
  outbox: ':outbox',
  leases: ':leases',
  due: ':due',
  expiry: ':expiry',
  swept: ':swept',
  open: ':open',
  openBytes: ':open-bytes',
  dead: ':dead',
} as const;

export const DEFAULT_PREFIX = 'millrace';

/** Builds the names under one prefix. A prefix is a namespace: two that differ share nothing. */
export class Keys {
  readonly prefix: string;

  constructor(prefix: string = DEFAULT_PREFIX) {
    this.prefix = prefix;
  }

  /** What all of a partition's names begin with; scripts take it as their one key. */
  root(partition: number): string {
    return `${this.prefix}:{${partition}}`;
  }

  events(root: string, runId: string): string {
    return root + records.events + runId;
  }

  run(root: string, runId: string): string {
    return root + records.run + runId;
  }

  chain(root: string, chainId: string): string {
    return root + records.chain + chainId;
  }

  thread(root: string, threadKey: string): string {
    return root + records.thread + threadKey;
  }

  threadRuns(root: string, threadKey: string): string {
    return root + records.threadRuns + threadKey;
  }

  idempotency(root: string, id: string): string {
    return root + records.idempotency + id;
  }

  outbox(root: string): string {
    return root + indexes.outbox;
  }

  /** The runs of one tenant that have not ended. */
  tenantOpen(root: string, tenant: string): string {
    return root + records.tenantOpen + tenant;
  }

  /** The runs of one tenant that failed for no reason of their own. */
  tenantDead(root: string, tenant: string): string {
    return root + records.tenantDead + tenant;
  }

  /** The chains of one tenant, by the time they began. */
  tenantChains(root: string, tenant: string): string {
    return root + records.tenantChains + tenant;
  }

  /** Prefix of everything BullMQ stores. */
  queuePrefix(): string {
    return `{${this.prefix}}`;
  }

  /** What gateways sign with, for clients to bring back to any of them. */
  signingSecret(): string {
    return `${this.prefix}:{signing}:secret`;
  }

  /** Prefix of everything the checkpointer stores. */
  checkpoints(): string {
    return `${this.prefix}:checkpoint`;
  }

  catalog(): string {
    return `${this.prefix}:{catalog}`;
  }

  /** HASH `<graph>@<revision>` → when it was published first, in microseconds. */
  catalogSince(): string {
    return `${this.catalog()}:since`;
  }

  /** ZSET `<graph>@<revision>`, by the millisecond until which a worker is sure to have it. */
  catalogServed(): string {
    return `${this.catalog()}:served`;
  }

  /** How fast the workers of a queue are. */
  pace(queue: string): string {
    return `${this.prefix}:{pace}:${queue}`;
  }

  /** What need not be worked out again; always with an expiry. */
  cache(kind: string, tenant: string, id: string): string {
    return `${this.prefix}:cache:${kind}:${encodeURIComponent(tenant)}:${id}`;
  }

  /** Pub/sub channel on which a run's new event numbers are called out. */
  eventChannel(runId: string): string {
    return `${this.prefix}:events:${runId}`;
  }

  /** Pub/sub channel on which it is called out that a thread was used, has come to rest, or is gone. */
  threadChannel(tenant: string, threadId: string): string {
    return `${this.prefix}:threads:${threadKey(tenant, threadId)}`;
  }

  /** Pub/sub channel on which workers hear of runs to be stopped. */
  cancelChannel(): string {
    return `${this.prefix}:cancel`;
  }

  /** What a gateway sends to itself to see that its subscription is alive. */
  pingChannel(instance: string): string {
    return `${this.prefix}:ping:${instance}`;
  }
}

/** How a thread is named within its partition. Both parts are the caller's text: nothing of it is syntax. */
export function threadKey(tenant: string, threadId: string): string {
  return `${encodeURIComponent(tenant)}/${encodeURIComponent(threadId)}`;
}

/** The same names for Lua: `key.run(id)`, `key.outbox()`, …, with `root` as a local of the script. */
export const luaKeys = [
  'local key = {}',
  ...Object.entries(records).map(
    ([name, part]) => `function key.${name}(id) return root .. '${part}' .. id end`,
  ),
  ...Object.entries(indexes).map(([name, part]) => `function key.${name}() return root .. '${part}' end`),
].join('\n');
