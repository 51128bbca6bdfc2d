import { VariableFault } from './config-fields.ts';

const PASSWORD_ENDS: Record<string, string> = { '/': '%2F', '#': '%23', '?': '%3F' };

/**
 * Checks a Redis URL before ioredis does, whose message is `Invalid URL` with the password in plain sight.
 *
 * @param passwordVariable where the password may stand as it is
 * @throws VariableFault that names the character at fault and shows nothing else of the URL
 */
export function redisUrl(url: string, passwordVariable: string): string {
  const scheme = /^rediss?:\/\//i.exec(url)?.[0];
  if (!scheme) throw new VariableFault('must begin with redis:// or rediss:// (TLS)');
  const instead = `or leave the password out and put it into ${passwordVariable} as it is`;
  const rest = url.slice(scheme.length);
  const credentials = rest.slice(0, Math.max(0, rest.lastIndexOf('@')));
  const raw = /[/#?]/.exec(credentials)?.[0];
  if (raw) {
    throw new VariableFault(
      `has a raw "${raw}" in its password; write it as ${PASSWORD_ENDS[raw]}, ${instead}`,
    );
  }
  try {
    decodeURIComponent(credentials);
  } catch {
    throw new VariableFault(`has a "%" in its password that begins no escape; write it as %25, ${instead}`);
  }
  const parsed = parse(url);
  if (!parsed?.hostname || !/^\/?\d*$/.test(parsed.pathname)) {
    throw new VariableFault(
      `is not a URL like redis://user:password@host:6379/0; percent-encode what is special in the password, ${instead}`,
    );
  }
  return url;
}

function parse(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
