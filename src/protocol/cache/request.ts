/**
 * What vault and process server have to say to one another about a chain that cannot go on. Both speak through cache
 * storage, since that is the only road between them: no port is open at the process server.
 *
 *     vault ──── items/<item>/requests/<chain>-resync.json ────▶ process server: give this chain up, begin the next one
 *     vault ──── …/requests/<chain>-resync-<disk>.json ────────▶ process server: have this disk compared, in this chain
 *     vault ◀─── items/<item>/notices/<chain>-halted.json  ───── process server: I stand still, and this is why
 *
 * Both are signed like manifests, with a key of their own: whoever can write to cache storage can neither order a
 * comparison nor stop an item. A request names the chain it is about, so one that comes late (its chain was given up
 * meanwhile) is known to be stale. Equal requests are equal bytes: asking twice is asking once.
 * Specification: `docs/formats/request.md`.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { LeewardError } from '../../platform/errors.ts';
import { parseJson } from '../../platform/settings.ts';
import type { CacheStore } from './cache-store.ts';

const chain = z.number().int().positive();

export const ResyncRequest = z.strictObject({
  format: z.literal('leeward-resync-request/1'),
  itemId: ProtectedItemId,
  /** The chain that is given up, with everything of it that is not applied. With `diskId`: the one that goes on. */
  chain,
  /** `ReplicaInvalid`: the log processor cannot go on. `Requested`: somebody wants a comparison. */
  cause: z.enum(['ReplicaInvalid', 'Requested']),
  /** Only this disk is compared; the others stay trusted. With `Requested` only. */
  diskId: ProtectedDiskId.optional(),
});
export type ResyncRequest = z.infer<typeof ResyncRequest>;

export const HaltNotice = z.strictObject({
  format: z.literal('leeward-halt-notice/1'),
  itemId: ProtectedItemId,
  chain,
  event: HealthEvent,
});
export type HaltNotice = z.infer<typeof HaltNotice>;

const pad = (count: number) => String(count).padStart(16, '0');
export const requestPrefix = (itemId: ProtectedItemId) => `items/${itemId}/requests/`;
export const resyncRequestKey = (itemId: ProtectedItemId, chain: number, diskId?: ProtectedDiskId) =>
  `${requestPrefix(itemId)}${pad(chain)}-resync${diskId === undefined ? '' : `-${diskId}`}.json`;
export const noticePrefix = (itemId: ProtectedItemId) => `items/${itemId}/notices/`;
export const haltNoticeKey = (itemId: ProtectedItemId, chain: number) =>
  `${noticePrefix(itemId)}${pad(chain)}-halted.json`;

/** A health event has at most some 8 KiB. */
const signedBytesMax = 64 << 10;
/** Of one item there are one or two; whoever finds more takes the rest next time. */
export const requestsListMax = 16;

/** The schema's key order, a line feed, HMAC-SHA-256 in hexadecimal digits, a line feed. `key` is signed along. */
export function encodeSigned<T extends z.ZodType>(
  schema: T,
  value: z.infer<T>,
  macKey: Uint8Array,
  key: string,
): Buffer {
  const json = JSON.stringify(schema.parse(value));
  return Buffer.from(`${json}\n${macOf(macKey, key, Buffer.from(json)).toString()}\n`);
}

/** Throws `RequestTampered`. */
export function decodeSigned<T extends z.ZodType>(
  schema: T,
  object: Buffer,
  macKey: Uint8Array,
  key: string,
): z.infer<T> {
  const end = object.indexOf(0x0a);
  const json = object.subarray(0, Math.max(end, 0));
  const mac = object.subarray(end + 1, end + 65);
  if (end < 0 || object.byteLength !== end + 66 || !timingSafeEqual(mac, macOf(macKey, key, json)))
    throw requestTampered(key);
  return parseJson(schema, json.toString(), key);
}

/** The key is part of what is signed: a request cannot be moved to another place. */
function macOf(macKey: Uint8Array, key: string, json: Uint8Array): Buffer {
  return Buffer.from(createHmac('sha256', macKey).update(`${key}\n`).update(json).digest('hex'));
}

export function requestTampered(key: string): LeewardError {
  return new LeewardError({
    code: 'RequestTampered',
    summary: `the request ${key} was written by nobody who has this item's key`,
    possibleCauses: 'It was altered or damaged in cache storage, or somebody made it up.',
    recommendedAction: 'Nothing was done and it was removed. Find out who can write to cache storage.',
    severity: 'critical',
    context: { key },
  });
}

/** Puts what was encoded; answers `false` when something else already stands there. */
export async function putSigned(
  store: CacheStore,
  key: string,
  object: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await store.put(
      key,
      {
        sizeBytes: object.byteLength,
        sha256: createHash('sha256').update(object).digest('hex'),
        open: () => Readable.from([object], { objectMode: false }),
      },
      signal,
    );
    return true;
  } catch (error) {
    if (error instanceof LeewardError && error.code === 'ObjectConflict') return false;
    throw error;
  }
}

/** The object's bytes, cut off where none of ours would go on; `undefined` when it is not there. */
export async function getSigned(
  store: CacheStore,
  key: string,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const stream = await store.get(key, signal);
  if (stream === undefined) return undefined;
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    sizeBytes += piece.byteLength;
    if (sizeBytes > signedBytesMax) throw requestTampered(key);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
