import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface PingOptions {
  timeoutMs: number;
  /** Used when the URL carries none. */
  password?: string | undefined;
}

/**
 * Asks the Redis at `url` for a PONG; rejects with a short reason that never holds the password.
 * Spoken by hand because the root has no Redis client, and two commands do not need one.
 */
export async function pingRedis(url: string, options: PingOptions): Promise<void> {
  if ((await askRedis(url, ['PING'], options)) !== '+PONG')
    throw new Error('what answers there is not Redis');
}

/** Asks all that a URL of Sentinels or of a cluster names; one PONG is enough, the rest is for the apps to see. */
export async function pingAny(
  url: string,
  { sentinelPassword, ...options }: PingOptions & { sentinelPassword: string | undefined },
): Promise<void> {
  const parts = /^redis(s?)\+(sentinel|cluster):\/\/(.*@)?([^/]*)/i.exec(url);
  if (!parts) return pingRedis(url, options);
  const [, tls = '', kind = '', credentials = '', hosts = ''] = parts;
  const sentinel = kind.toLowerCase() === 'sentinel';
  const pings = hosts.split(',').map((host) => {
    const at = sentinel && !/:\d+$/.test(host) ? `${host}:26379` : host;
    // What stands in the URL is for the master, not for the Sentinels.
    if (sentinel) return pingRedis(`redis${tls}://${at}`, { ...options, password: sentinelPassword });
    return pingRedis(`redis${tls}://${credentials}${at}`, options);
  });
  await Promise.any(pings).catch((error: AggregateError) => {
    throw error.errors[0];
  });
}

/** The answer to one command that is answered with one line, as it stands on the wire. */
export async function askRedis(url: string, command: string[], options: PingOptions): Promise<string> {
  const target = parse(url, options.password);
  const commands = [...(target.password === undefined ? [] : [auth(target)]), command];
  const replies = await exchange(target, commands, options.timeoutMs);
  const refusal = replies.find((reply) => reply.startsWith('-'));
  if (refusal !== undefined) throw new Error(refusal.slice(1));
  return replies.at(-1) ?? '';
}

interface Target {
  tls: boolean;
  host: string;
  port: number;
  username: string;
  password: string | undefined;
}

function parse(url: string, password: string | undefined): Target {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new Error('it is not a URL (percent-encode the password, or give it as REDIS_PASSWORD)');
  }
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') {
    throw new Error('it must begin with redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS)');
  }
  try {
    return {
      tls: parsed.protocol === 'rediss:',
      host: parsed.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
      port: Number(parsed.port || 6379),
      username: decodeURIComponent(parsed.username),
      password: parsed.password === '' ? password : decodeURIComponent(parsed.password),
    };
  } catch {
    throw new Error('its password is not percent-encoded (encode it, or give it as REDIS_PASSWORD)');
  }
}

function auth(target: Target): string[] {
  const password = target.password ?? '';
  return target.username === '' ? ['AUTH', password] : ['AUTH', target.username, password];
}

/** Each of these commands is answered with one line. */
function exchange(target: Target, commands: string[][], timeoutMs: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const at = { host: target.host, port: target.port };
    const socket = target.tls ? connectTls({ ...at, servername: target.host }) : connect(at);
    let text = '';
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(
      () => finish(() => reject(new Error(`no answer within ${timeoutMs} ms`))),
      timeoutMs,
    );
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      text += chunk;
      const lines = text.split('\r\n');
      if (lines.length > commands.length || lines[0]?.startsWith('HTTP/')) {
        finish(() => resolve(lines.slice(0, commands.length)));
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      finish(() => reject(new Error(error.code ?? error.message))),
    );
    socket.on('end', () => finish(() => reject(new Error('the connection was closed'))));
    for (const words of commands) socket.write(encode(words));
  });
}

function encode(words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}
