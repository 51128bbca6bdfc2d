import { loadavg } from 'node:os';
import { Keys } from '@millrace/shared/keys';
import { RunStore } from '@millrace/shared/run-store';
import { Redis } from 'ioredis';
import { machineFacts } from '../../bench/machine.ts';
import { Clock } from './clock.ts';
import { queryPrometheus } from './demand.ts';
import { scaleBy, untilEnded, untilLeast, watch } from './emulate.ts';
import type { Outcome } from './figures.ts';
import { PLAN, sendWork, workOf } from './load.ts';
import { onStage, type StageOptions } from './stage.ts';

/** Whom a gateway without keys takes everybody for. */
const TENANT = 'default';

/** How often the chart has a point, and how long is waited for an end, in seconds of the cluster. */
const SAMPLE_SECONDS = 10;
const LIMIT_SECONDS = 3600;

/** Sends the plan's load to a stage of its own that scales by the way. */
export function play(options: StageOptions): Promise<Outcome> {
  const { way, factor, signal } = options;
  return onStage(options, async ({ redis: { url }, gateway, ops, prometheus, fleet }) => {
    const redis = new Redis(url);
    const store = new RunStore(redis, { keys: new Keys('millrace') });
    const { cores, cpu, node, redis: version } = await machineFacts(redis);
    const loadBefore = loadavg()[0] ?? 0;
    const clock = new Clock(factor);
    const over = new AbortController();
    const during = AbortSignal.any([signal, over.signal]);
    const seen = async () =>
      (await queryPrometheus(prometheus, 'max(millrace_queue_demand{queue="default"})'))[0];
    fleet.scale(way.least);
    const scaling = scaleBy(way.loops({ redis, gateway: ops, prometheus }), fleet, clock, during);
    const watching = watch(seen, fleet, SAMPLE_SECONDS, clock, during);
    const limit = { limitMs: clock.toMs(LIMIT_SECONDS), signal };
    try {
      const sent = await sendWork(workOf(PLAN), gateway, clock, signal);
      const records = await untilEnded((id) => store.read.run(TENANT, id), sent, limit);
      const atLeast = await untilLeast(fleet, way.least, limit);
      over.abort();
      return {
        way: way.name,
        where: `${new Date().toISOString().slice(0, 10)}, ${cores} cores (${cpu}), Node ${node}, Redis ${version}, ${factor} times as fast as a cluster`,
        load: [loadBefore, loadavg()[0] ?? 0],
        sent: sent.length,
        runs: records.map(({ createdAt, startedAt = createdAt, endedAt = startedAt, attempt, status }) => ({
          sentAt: clock.at(createdAt),
          wait: clock.at(startedAt) - clock.at(createdAt),
          total: clock.at(endedAt) - clock.at(createdAt),
          attempts: attempt,
          succeeded: status === 'succeeded',
        })),
        samples: await watching,
        concurrency: Number(way.env.WORKER_CONCURRENCY),
        killed: fleet.killed,
        died: fleet.died,
        brokenOff: fleet.brokenOff,
        drains: fleet.drains.map((ms) => (ms * factor) / 1000),
        graceSeconds: way.graceSeconds,
        atLeast,
      };
    } finally {
      over.abort();
      await scaling;
      redis.disconnect();
    }
  });
}
