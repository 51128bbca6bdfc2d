import type { ChainView } from '@millrace/shared/run-reader';
import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { Services } from '../services.ts';
import { listChains } from '../use-cases/chains.ts';
import { cursorOf, placeOf } from '../wire/cursor.ts';

/** Each is read with what it was asked to do, which may be long. */
const PAGE = 20;

/**
 * A page of a tenant's chains, newest first.
 *
 * @param cursor `nextCursor` of the page before
 * @throws ProtocolError when it is none
 */
export async function chainPage(
  services: Services,
  tenant: string,
  cursor: string | undefined,
): Promise<{ views: ChainView[]; more: { nextCursor?: string } }> {
  const after = cursor === undefined ? undefined : placeOf(cursor);
  if (cursor !== undefined && !after) {
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      'cursor: give nextCursor of the page before, or leave it out',
    );
  }
  const { items, next } = await listChains(services, tenant, { limit: PAGE, after });
  return { views: items, more: next ? { nextCursor: cursorOf(next) } : {} };
}
