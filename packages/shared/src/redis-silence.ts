import type { Redis } from 'ioredis';
import type { Logger } from './logger.ts';

const ASK_MS = 2_500;
/** Askings in a row that may stay without an answer: a server that only stalls has ten seconds. */
const UNANSWERED = 3;

/**
 * Replaces a connection on which nothing comes any more though it was asked, for as long as the client lives.
 *
 * A machine that lost its power, or a router that forgot the connection, says no goodbye, and the kernel would go on
 * believing in it for a quarter of an hour. What was sent and not answered is sent again on the new one.
 */
export function replaceWhenSilent(redis: Redis, logger: Logger): void {
  let unanswered = 0;
  let heard = 0;
  const timer = setInterval(() => {
    const { status } = redis;
    // The others have limits of their own. On `connect` it is the handshake that waits.
    if (status !== 'ready' && status !== 'connect') {
      unanswered = 0;
      return;
    }
    const { bytesRead = 0 } = redis.stream;
    unanswered = bytesRead === heard ? unanswered + 1 : 0;
    heard = bytesRead;
    if (unanswered > UNANSWERED) {
      logger.warn('redis does not answer on an open connection; replacing it');
      unanswered = 0;
      redis.disconnect(true);
    } else if (status === 'ready') {
      redis.ping().catch(() => undefined);
    }
  }, ASK_MS);
  timer.unref();
  redis.once('end', () => clearInterval(timer));
}
