/**
 * The vault's half of getting a chain going again (`protocol/cache/request.ts`): orders a new chain at the process server,
 * and reads what a process server says that stands still.
 */
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { requestMacKey } from '../../protocol/cache/keys.ts';
import {
  decodeSigned,
  encodeSigned,
  getSigned,
  HaltNotice,
  noticePrefix,
  putSigned,
  ResyncRequest,
  requestsListMax,
  resyncRequestKey,
} from '../../protocol/cache/request.ts';

export interface OrderParts {
  readonly itemId: ProtectedItemId;
  readonly itemKey: Uint8Array;
  readonly cache: CacheStore;
}

/** Idempotent. Answers `false` when this chain was ordered to end already, for whatever cause. With `diskId` no chain ends. */
export async function orderResync(
  { itemId, itemKey, cache }: OrderParts,
  chain: number,
  cause: ResyncRequest['cause'],
  signal: AbortSignal,
  diskId?: ProtectedDiskId,
): Promise<boolean> {
  const key = resyncRequestKey(itemId, chain, diskId);
  const request: ResyncRequest = {
    format: 'leeward-resync-request/1',
    itemId,
    chain,
    cause,
    ...(diskId === undefined ? {} : { diskId }),
  };
  return await putSigned(
    cache,
    key,
    encodeSigned(ResyncRequest, request, requestMacKey(itemKey), key),
    signal,
  );
}

/** The notices of an item's process server; `event` is undefined for one that is not signed by it. */
export async function readNotices(
  { itemId, itemKey, cache }: OrderParts,
  signal: AbortSignal,
): Promise<{ key: string; notice?: { chain: number; event: HealthEvent }; error?: unknown }[]> {
  const found = [];
  for (const { key } of await cache.list(noticePrefix(itemId), { limit: requestsListMax }, signal)) {
    try {
      const object = await getSigned(cache, key, signal);
      if (object === undefined) continue;
      const notice = decodeSigned(HaltNotice, object, requestMacKey(itemKey), key);
      found.push(notice.itemId === itemId ? { key, notice } : { key });
    } catch (error) {
      found.push({ key, error });
    }
  }
  return found;
}
