import { randomBytes } from 'node:crypto';
import type { RedisConnection } from './redis.ts';

/** A random secret of 32 bytes, in base64url, that is the same for all processes: whoever asks first makes it. */
export async function sharedSecret(redis: RedisConnection, key: string): Promise<string> {
  const known = await redis.get(key);
  if (known !== null) return known;
  const made = randomBytes(32).toString('base64url');
  await redis.set(key, made, 'NX');
  // Another process may have been quicker.
  return (await redis.get(key)) ?? made;
}
