/**
 * A manifest: one link of a protected item's chain. It names the segments (at most one a disk) that the log processor
 * applies together, and what happens after them. Everything the vault learns of an item on the data path, it learns
 * from its manifests, in order: state of the disks, bookmarks, progress, health.
 *
 * Stored as one object: canonical JSON (the schema's key order), a line feed, HMAC-SHA-256 of the JSON under the item's
 * manifest key as 64 hexadecimal digits, a line feed. `previousDigest` is the SHA-256 of the whole previous object, so
 * that a missing, reordered or altered link shows; the HMAC shows a chain that somebody made up.
 * Specification: `docs/formats/manifest.md`.
 *
 * A chain belongs to one generation: a process server that lost its state starts a new chain with a higher generation,
 * whose disks all begin untrusted. The vault follows the newest chain and never goes back to an older one.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { Bookmark } from '../../model/bookmark.ts';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { ResyncProgress } from '../../model/progress.ts';
import { LeewardError } from '../../platform/errors.ts';
import { parseJson } from '../../platform/settings.ts';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.number().int().nonnegative();

export const SegmentReference = z.strictObject({
  diskId: ProtectedDiskId,
  key: z.string(),
  sha256: sha256Hex,
  objectBytes: bytes,
  /** Of the disk: how much the segment replaces, zero ranges included. */
  logicalBytes: bytes,
  extentCount: bytes,
});
export type SegmentReference = z.infer<typeof SegmentReference>;

export const Manifest = z.strictObject({
  format: z.literal('leeward-manifest/1'),
  itemId: ProtectedItemId,
  /** The generation that started the chain; part of the key. */
  chain: z.number().int().positive(),
  /** 1, 2, 3 … without gaps. */
  sequence: z.number().int().positive(),
  /** Null only for sequence 1. */
  previousDigest: sha256Hex.nullable(),
  /** Of the session whose data it has; grows along the chain. */
  generation: z.number().int().positive(),
  createdAt: z.iso.datetime(),
  segments: z.array(SegmentReference),
  /** After this manifest's segments. */
  disks: z.array(
    z.strictObject({
      diskId: ProtectedDiskId,
      sizeBytes: bytes,
      state: DiskState,
      cause: ResyncCause.optional(),
    }),
  ),
  /** A recovery point is cut here, after the segments. Only when every disk is `in-sync`. */
  bookmark: Bookmark.optional(),
  /** The log processor answers with digest objects, taken after the segments (`digestKey`). */
  digestRequest: z.strictObject({ resyncId: z.guid(), diskId: ProtectedDiskId, fromBytes: bytes }).optional(),
  progress: z.array(ResyncProgress),
  health: z.array(HealthEvent),
});
export type Manifest = z.infer<typeof Manifest>;

const pad = (count: number) => String(count).padStart(16, '0');

export const manifestPrefix = (itemId: ProtectedItemId) => `items/${itemId}/manifests/`;
export const manifestKey = (itemId: ProtectedItemId, chain: number, sequence: number) =>
  `${manifestPrefix(itemId)}${pad(chain)}/${pad(sequence)}.json`;
export const segmentKey = (
  itemId: ProtectedItemId,
  chain: number,
  sequence: number,
  diskId: ProtectedDiskId,
) => `items/${itemId}/segments/${pad(chain)}/${pad(sequence)}-${diskId}.seg`;
/**
 * Digests of one resync, in parts of at most `digestPartBytes` of disk each; the last part's key ends in `-last`.
 * Encrypted like a segment frame (`segment.ts`).
 */
export const digestPrefix = (itemId: ProtectedItemId, resyncId: string) =>
  `items/${itemId}/digests/${resyncId}/`;
export const digestKey = (itemId: ProtectedItemId, resyncId: string, part: number, isLast: boolean) =>
  `${digestPrefix(itemId, resyncId)}${pad(part)}${isLast ? '-last' : ''}.dig`;
/** 4 GiB of disk = 65,536 digests = 1 MiB an object. */
export const digestPartBytes = 4 * 2 ** 30;

/** A manifest of an idle machine is a few hundred bytes; 1 MiB has room for 64 disks and 1,000 health events. */
export const manifestBytesMax = 1 << 20;

export function encodeManifest(manifest: Manifest, manifestKeyBytes: Uint8Array): Buffer {
  // Parsing puts the keys into the schema's order, so that equal manifests are equal bytes.
  const json = JSON.stringify(Manifest.parse(manifest));
  const mac = createHmac('sha256', manifestKeyBytes).update(json).digest('hex');
  return Buffer.from(`${json}\n${mac}\n`);
}

export function manifestDigest(object: Uint8Array): string {
  return createHash('sha256').update(object).digest('hex');
}

/** Throws `ManifestTampered` when the HMAC is wrong or the form is not a manifest's. */
export function decodeManifest(object: Buffer, manifestKeyBytes: Uint8Array, key: string): Manifest {
  const end = object.indexOf(0x0a);
  const json = object.subarray(0, Math.max(end, 0));
  const mac = object.subarray(end + 1, end + 65);
  const expected = Buffer.from(createHmac('sha256', manifestKeyBytes).update(json).digest('hex'));
  if (end < 0 || object.byteLength !== end + 66 || !timingSafeEqual(mac, expected))
    throw new LeewardError({
      code: 'ManifestTampered',
      summary: `the manifest ${key} was not written by this item's process server`,
      possibleCauses:
        'The object was altered or cut off in cache storage, or the item key is not the right one.',
      recommendedAction:
        'Find out who can write to cache storage; then resynchronize the item. Earlier recovery points are not touched.',
      severity: 'critical',
      context: { key },
    });
  return parseJson(Manifest, json.toString(), key);
}
