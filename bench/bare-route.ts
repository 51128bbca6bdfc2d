// A process of its own: a Hono route that parses a body and answers, and does nothing else.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { leaveWithParent } from './child.ts';

const [port = '0'] = process.argv.slice(2);
let reply: unknown = {};
const app = new Hono();
app.get('/ok', (c) => c.json({ ok: true }));
// What to answer, so that both contenders send as much.
app.put('/reply', async (c) => {
  reply = await c.req.json();
  return c.body(null, 204);
});
app.post('/runs', async (c) => {
  await c.req.json();
  return c.json(reply);
});
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) });
leaveWithParent(() => server.close());
