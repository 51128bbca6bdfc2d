import { randomUUID } from 'node:crypto';
import { HumanMessage } from '@langchain/core/messages';
import {
  type BaseCheckpointSaver,
  type Checkpoint,
  type CheckpointMetadata,
  emptyCheckpoint,
  MemorySaver,
  uuid6,
} from '@langchain/langgraph-checkpoint';
import { RedisSaver, raiseFence } from '@millrace/checkpoint-redis';
import { Redis } from 'ioredis';
import { type Contender, compete, IN_FLIGHT, type Plan } from './measure.ts';
import { RawStore } from './raw-store.ts';
import type { Comparison } from './report.ts';
import type { Stage } from './stage.ts';

const PREFIX = 'bench';
/** A conversation of some length: about 8 kB. */
const MESSAGES = 20;
const LONG_HISTORY = 300;

const messages = Array.from({ length: MESSAGES }, (_, i) => new HumanMessage(`${i} `.repeat(60)));
const metadata: CheckpointMetadata = { source: 'loop', step: 1, parents: {} };

/** One `put` and one `getTuple`, against the same commands and bytes without a checkpointer, and without Redis. */
export async function measureCheckpoints(stage: Stage, plan: Plan): Promise<Comparison[]> {
  const redis = new Redis(stage.redis.url);
  try {
    const raw = new RawStore(redis, await encodedParts());
    const lease = { token: 1, nonce: randomUUID() };
    const saver = new RedisSaver(redis, { prefix: PREFIX, lease });
    const open = async (thread: string) => {
      await raiseFence(redis, { prefix: PREFIX, threadId: thread }, lease);
      return new Conversation(saver, thread);
    };
    const memory = async (thread: string) => new Conversation(new MemorySaver(), thread);
    const long = await Promise.all(Array.from({ length: IN_FLIGHT }, () => open(randomUUID())));
    await Promise.all(long.map((one) => one.grow(LONG_HISTORY)));
    const history = `RedisSaver, thread with ${LONG_HISTORY}+ checkpoints behind it`;

    const short = plan.sliceMs / 3;
    const put = await compete(
      [
        { name: 'the same commands, one pipeline', once: () => raw.put() },
        putting('RedisSaver', open),
        { name: history, once: (lane) => at(long, lane).put() },
        putting('MemorySaver', memory),
      ],
      { ...plan, sliceMs: short },
    );
    const get = await compete(
      [
        { name: 'the same commands, one pipeline', once: () => raw.get() },
        getting('RedisSaver', open),
        { name: history, once: (lane) => at(long, lane).get() },
        getting('MemorySaver', memory),
      ],
      { ...plan, sliceMs: short },
    );
    return [
      { title: 'Checkpointer: `put`', unit: 'puts', figures: put },
      { title: 'Checkpointer: `getTuple` of the newest', unit: 'gets', figures: get },
    ];
  } finally {
    redis.disconnect();
  }
}

type Opener = (thread: string) => Promise<Conversation>;

/** New threads in each slice, so that history plays no part. */
function putting(name: string, open: Opener): Contender {
  let lanes: Conversation[] = [];
  return {
    name,
    before: async () => {
      lanes = await fresh(open);
    },
    once: (lane) => at(lanes, lane).put(),
  };
}

function getting(name: string, open: Opener): Contender {
  let lanes: Conversation[] = [];
  return {
    name,
    before: async () => {
      lanes = await fresh(open);
      await Promise.all(lanes.map((one) => one.grow(3)));
    },
    once: (lane) => at(lanes, lane).get(),
  };
}

function fresh(open: Opener): Promise<Conversation[]> {
  return Promise.all(Array.from({ length: IN_FLIGHT }, () => open(randomUUID())));
}

function at(lanes: Conversation[], lane: number): Conversation {
  const one = lanes[lane];
  if (!one) throw new RangeError(`there is no lane ${lane}`);
  return one;
}

/** A thread whose state has one long channel and two short ones; a step writes the long one and a short one. */
class Conversation {
  readonly #saver: BaseCheckpointSaver;
  readonly #thread: string;
  #head: string | undefined;
  #step = 0;

  constructor(saver: BaseCheckpointSaver, thread: string) {
    this.#saver = saver;
    this.#thread = thread;
  }

  async put(): Promise<void> {
    const version = ++this.#step;
    const configurable = { thread_id: this.#thread, checkpoint_ns: '' };
    const config = { configurable: { ...configurable, ...(this.#head && { checkpoint_id: this.#head }) } };
    const checkpoint = nextCheckpoint(version);
    await this.#saver.put(config, checkpoint, metadata, { messages: version, step: version });
    this.#head = checkpoint.id;
  }

  async get(): Promise<void> {
    const tuple = await this.#saver.getTuple({
      configurable: { thread_id: this.#thread, checkpoint_ns: '' },
    });
    const found = tuple?.checkpoint.channel_values.messages as unknown[] | undefined;
    if (found?.length !== MESSAGES) throw new Error('the checkpoint is not there');
  }

  async grow(checkpoints: number): Promise<void> {
    for (let n = 0; n < checkpoints; n++) await this.put();
  }
}

function nextCheckpoint(version: number): Checkpoint {
  return {
    ...emptyCheckpoint(),
    id: uuid6(version),
    channel_values: { messages, step: version, title: 'a title that stays' },
    channel_versions: { messages: version, step: version, title: 1 },
    versions_seen: { model: { messages: version } },
  };
}

/** What LangGraph's serializer makes of such a checkpoint. */
async function encodedParts() {
  const { serde } = new MemorySaver();
  const encode = async (value: unknown) => Buffer.from((await serde.dumpsTyped(value))[1]);
  const { channel_values: values, ...bare } = nextCheckpoint(1);
  return {
    checkpoint: await encode(bare),
    metadata: await encode(metadata),
    blobs: { messages: await encode(values.messages), step: await encode(values.step) },
    kept: { title: await encode(values.title) },
  };
}
