import { Refusal } from '@millrace/shared/contract/error';
import { toWireJson } from '@millrace/shared/wire-json';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import { readJson } from '../http/body.ts';
import type { HttpEnv } from '../http/env.ts';
import { whileWanted } from '../http/patience.ts';
import type { Services } from '../services.ts';
import { editState } from '../use-cases/edit-state.ts';
import { getHistory } from '../use-cases/state.ts';
import { checkpointId, checkpointNs, checkpointRef, limit, object, threadId } from '../wire/fields.ts';
import { jsonText } from '../wire/json-response.ts';
import { flag, page, readIdempotencyKey, readParam, readQuery } from '../wire/query.ts';
import { STATE_BEHIND, stateText, toWireState, wireCheckpoint } from '../wire/state-json.ts';
import { readStateTree } from './threads-state-tree.ts';

const stateQuery = z.object({ subgraphs: flag.optional() });
const checkpointBody = z.object({ checkpoint: checkpointRef.nullish(), subgraphs: z.boolean().nullish() });
const updateBody = z.object({
  values: z.union([object, z.array(object)]).nullish(),
  as_node: z.string().nullish(),
  checkpoint_id: checkpointId.nullish(),
  checkpoint: checkpointRef.nullish(),
});
/** A checkpoint's id, or what holds one: a config, or a checkpoint. */
const before = z.union([
  checkpointId,
  z
    .object({ configurable: z.object({ checkpoint_id: checkpointId }) })
    .transform((config) => config.configurable.checkpoint_id),
  z.object({ checkpoint_id: checkpointId }).transform((checkpoint) => checkpoint.checkpoint_id),
]);
const historyQuery = z.object({ limit: page.limit, before: checkpointId.optional() });
const historyBody = z.object({
  limit: limit.nullish(),
  before: before.nullish(),
  metadata: object.nullish(),
  checkpoint: z
    .object({ checkpoint_id: checkpointId.nullish(), checkpoint_ns: checkpointNs.nullish() })
    .nullish(),
});

interface HistoryPage {
  limit: number;
  before?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
  checkpointNs?: string | undefined;
}

/** A thread's state, its edits and its history, as the LangGraph Agent Server serves them. */
export function threadStateRoutes(services: Services, { drain }: { drain: AbortSignal }): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.get('/threads/:thread_id/state', async (c) => {
    const { subgraphs = false } = readQuery(c, stateQuery);
    return answerState(c, services, { subgraphs });
  });

  app.get('/threads/:thread_id/state/:checkpoint_id', async (c) => {
    const { subgraphs = false } = readQuery(c, stateQuery);
    const at = readParam(c, 'checkpoint_id', checkpointId);
    return answerState(c, services, { subgraphs, checkpointId: at });
  });

  app.post('/threads/:thread_id/state/checkpoint', async (c) => {
    const { checkpoint, subgraphs } = await readJson(c, checkpointBody);
    return answerState(c, services, {
      subgraphs: subgraphs ?? false,
      checkpointId: checkpoint?.checkpoint_id ?? undefined,
      checkpointNs: checkpoint?.checkpoint_ns ?? undefined,
    });
  });

  app.post('/threads/:thread_id/state', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const body = await readJson(c, updateBody);
    if (body.checkpoint?.checkpoint_ns) {
      throw new Refusal('unsupported', 'Only the state of the root graph is edited', {
        field: 'checkpoint.checkpoint_ns',
      });
    }
    const key = readIdempotencyKey(c);
    const edited = await whileWanted(c, drain, (signal) =>
      editState(services, c.get('tenant'), thread, {
        values: body.values ?? null,
        asNode: body.as_node ?? undefined,
        checkpointId: body.checkpoint_id ?? body.checkpoint?.checkpoint_id ?? undefined,
        ...(key !== undefined && { idempotency: { key, body } }),
        signal,
      }),
    );
    const checkpoint = wireCheckpoint(thread, '', edited);
    // The SDK's types say `configurable`, the Agent Server says `checkpoint`.
    return c.json({ checkpoint, configurable: checkpoint, checkpoint_id: edited });
  });

  app.get('/threads/:thread_id/history', async (c) => answerHistory(c, services, readQuery(c, historyQuery)));

  app.post('/threads/:thread_id/history', async (c) => {
    const body = await readJson(c, historyBody);
    const checkpointNs = body.checkpoint?.checkpoint_ns ?? undefined;
    if (body.checkpoint?.checkpoint_id) {
      // As LangGraph has it: the history at a checkpoint is that one.
      return answerState(c, services, {
        subgraphs: false,
        checkpointId: body.checkpoint.checkpoint_id,
        checkpointNs,
        asList: true,
      });
    }
    return answerHistory(c, services, {
      limit: body.limit ?? 10,
      before: body.before ?? undefined,
      metadata: body.metadata ?? undefined,
      checkpointNs,
    });
  });

  app.on('PATCH', '/threads/:thread_id/state', () => {
    throw new Refusal('unsupported', 'The metadata of a state is not changed; make a new state with POST');
  });
  return app;
}

async function answerState(
  c: Context<HttpEnv>,
  services: Services,
  at: {
    subgraphs: boolean;
    checkpointId?: string | undefined;
    checkpointNs?: string | undefined;
    asList?: boolean;
  },
): Promise<Response> {
  const thread = readParam(c, 'thread_id', threadId);
  const tree = await readStateTree(services, c.get('tenant'), thread, at);
  const text = stateText(thread, tree);
  return jsonText(c, at.asList ? `[${text}]` : text, tree.view && !tree.view.described ? STATE_BEHIND : {});
}

async function answerHistory(
  c: Context<HttpEnv>,
  services: Services,
  wanted: HistoryPage,
): Promise<Response> {
  const thread = readParam(c, 'thread_id', threadId);
  const states = await getHistory(services, c.get('tenant'), thread, wanted);
  const { checkpointNs = '' } = wanted;
  const [newest] = states;
  const behind = wanted.before === undefined && newest !== undefined && !newest.described;
  return jsonText(
    c,
    toWireJson(states.map((view) => toWireState(thread, { checkpointNs, view }))),
    behind ? STATE_BEHIND : {},
  );
}
