import { Agent, request } from 'node:http';
import { type Contender, compete, IN_FLIGHT, type Plan } from './measure.ts';
import type { Comparison } from './report.ts';
import { type Stage, workedOff } from './stage.ts';

/** So that a slice's runs are worked off in a few seconds. */
const MOST_IN_A_SLICE = 400;

const BODY = JSON.stringify({ assistant_id: 'bench', input: { text: 'hello' } });

/** `POST /runs`, which is answered as soon as the run is kept, against a route that keeps nothing. */
export async function measureSubmit(stage: Stage, plan: Plan): Promise<Comparison[]> {
  const { gateway, worker } = await stage.millrace();
  const bare = await stage.bareRoute();
  const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });
  const send = (method: string, url: string, body: string) => post(agent, method, url, body);
  try {
    await send('PUT', `${bare.url}/reply`, await send('POST', `${gateway.url}/runs`, BODY));
    const redis = stage.redis.pid;
    const contenders: Contender[] = [
      {
        name: 'bare Hono route (requests/s: the limit of the client)',
        once: () => send('POST', `${bare.url}/runs`, BODY),
        pids: [bare.pid],
      },
      {
        name: 'Millrace, its worker standing still',
        once: () => send('POST', `${gateway.url}/runs`, BODY),
        pids: [gateway.pid],
        most: MOST_IN_A_SLICE,
        before: async () => {
          await workedOff(gateway, plan.signal);
          worker.send('SIGSTOP');
        },
        after: async () => worker.send('SIGCONT'),
      },
      {
        name: 'Millrace, its worker executing them on the same cores',
        once: () => send('POST', `${gateway.url}/runs`, BODY),
        pids: [gateway.pid, worker.pid, redis],
        most: MOST_IN_A_SLICE,
        before: () => workedOff(gateway, plan.signal),
        after: () => workedOff(gateway, plan.signal),
      },
    ];
    const figures = await compete(contenders, plan);
    return [{ title: 'Submit: `POST /runs`, answered at once', unit: 'requests', figures }];
  } finally {
    agent.destroy();
    // A process that stands still hears no other signal.
    worker.send('SIGCONT');
  }
}

/** The cheapest client there is, so that it is the servers that are compared. Resolves to the answer's text. */
function post(agent: Agent, method: string, url: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const sent = request(url, { method, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode = 0 } = response;
        if (statusCode < 300) resolve(text);
        else reject(new Error(`${method} ${url} was answered ${statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
