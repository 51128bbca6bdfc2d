import { VariableFault } from './config-fields.ts';

export interface RedisHost {
  host: string;
  port: number;
}

interface Several {
  tls: boolean;
  hosts: RedisHost[];
  username: string | undefined;
  password: string | undefined;
}

/** What a Redis URL names. */
export type RedisAddress =
  /** One server; ioredis reads the URL itself. */
  | { kind: 'server' }
  /** The master that these Sentinels know by that name. The credentials are the master's. */
  | ({ kind: 'sentinel'; master: string; db: number } & Several)
  /** Some nodes of a cluster, to learn the others from. */
  | ({ kind: 'cluster' } & Several);

const SCHEMES =
  'must begin with redis:// (one server), redis+sentinel:// or redis+cluster://; with rediss instead of redis for TLS';

const PASSWORD_ENDS: Record<string, string> = { '/': '%2F', '#': '%23', '?': '%3F' };

const EXAMPLES = {
  server: 'redis://user:password@host:6379/0',
  sentinel: 'redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0',
  cluster: 'redis+cluster://user:password@host1:6379,host2:6379',
};

const DEFAULT_PORTS = { sentinel: 26379, cluster: 6379 };

/**
 * Reads a Redis URL before ioredis does, whose message is `Invalid URL` with the password in plain sight.
 *
 * @param passwordVariable where the password may stand as it is
 * @throws VariableFault that names what is at fault and shows no password
 */
export function parseRedisUrl(url: string, passwordVariable: string): RedisAddress {
  const scheme = /^redis(s?)(?:\+(sentinel|cluster))?:\/\//i.exec(url);
  if (!scheme) throw new VariableFault(SCHEMES);
  const tls = scheme[1] !== '';
  const kind = (scheme[2]?.toLowerCase() ?? 'server') as RedisAddress['kind'];
  const rest = url.slice(scheme[0].length);
  const at = rest.lastIndexOf('@');
  const credentials = readCredentials(rest.slice(0, Math.max(0, at)), passwordVariable);
  const [hosts = '', ...path] = rest.slice(at + 1).split('/');
  if (kind === 'server') {
    if (hosts.includes(',')) {
      throw new VariableFault(
        `names several hosts; write ${EXAMPLES.cluster} for a cluster, ${EXAMPLES.sentinel} for Sentinel`,
      );
    }
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (!parsed?.hostname || !/^\/?\d*$/.test(parsed.pathname)) throw notLike(kind, passwordVariable);
    return { kind };
  }
  const several = { tls, hosts: hosts.split(',').map((text, i) => readHost(text, i, kind)), ...credentials };
  if (kind === 'cluster') {
    if (path.some((part) => part !== '' && part !== '0')) {
      throw new VariableFault('names a database at its end; a cluster has only one: leave that out');
    }
    return { kind, ...several };
  }
  const [master = '', db = '', ...more] = path;
  if (!/^[A-Za-z0-9._-]+$/.test(master)) {
    throw new VariableFault(
      `does not name the master that the Sentinels watch; write it behind the hosts, as in ${EXAMPLES.sentinel}`,
    );
  }
  if (!/^\d*$/.test(db) || more.length > 0) throw notLike(kind, passwordVariable);
  return { kind, master, db: Number(db), ...several };
}

function readCredentials(text: string, passwordVariable: string): Pick<Several, 'username' | 'password'> {
  const instead = `or leave the password out and put it into ${passwordVariable} as it is`;
  const raw = /[/#?]/.exec(text)?.[0];
  if (raw) {
    throw new VariableFault(
      `has a raw "${raw}" in its password; write it as ${PASSWORD_ENDS[raw]}, ${instead}`,
    );
  }
  const colon = text.indexOf(':');
  const [username, password] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
  try {
    return {
      username: decodeURIComponent(username) || undefined,
      password: decodeURIComponent(password) || undefined,
    };
  } catch {
    throw new VariableFault(`has a "%" in its password that begins no escape; write it as %25, ${instead}`);
  }
}

function readHost(text: string, i: number, kind: 'sentinel' | 'cluster'): RedisHost {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = parts?.[3] === undefined ? DEFAULT_PORTS[kind] : Number(parts[3]);
  if (!host || port < 1 || port > 65535) {
    throw new VariableFault(
      `has no host:port as its host ${i + 1}; write the hosts between commas, as in ${EXAMPLES[kind]}`,
    );
  }
  return { host, port };
}

function notLike(kind: RedisAddress['kind'], passwordVariable: string): VariableFault {
  return new VariableFault(
    `is not a URL like ${EXAMPLES[kind]}; percent-encode what is special in the password, ` +
      `or leave the password out and put it into ${passwordVariable} as it is`,
  );
}
