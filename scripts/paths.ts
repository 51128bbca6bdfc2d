import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's root, wherever the command was typed. */
export const projectRoot = fileURLToPath(new URL('..', import.meta.url));

/** Everything the scripts keep: ignored by git, safe to remove while nothing runs. */
const home = join(projectRoot, '.millrace');

export const redisCacheDir = join(home, 'redis');
export const faketimeCacheDir = join(home, 'faketime');
export const haproxyCacheDir = join(home, 'haproxy');
export const prometheusCacheDir = join(home, 'prometheus');
export const conformanceCacheDir = join(home, 'conformance');
export const dataDir = join(home, 'data');
export const logDir = join(home, 'logs');
export const redisUrlFile = join(home, 'redis-url');
