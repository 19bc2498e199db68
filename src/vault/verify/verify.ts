/**
 * `leeward protected-item verify`: does what the vault holds of an item still hold together? Reads, really reads, every byte
 * of every recovery point and compares it with its sums; walks the archive of manifests link by link with HMAC and digest up
 * to the recorded position; and looks whether every recorded point is on the replica store. Changes nothing.
 */
import { blockBytes } from '../../disk/disk.ts';
import { hasCode, LeewardError } from '../../platform/errors.ts';
import { manifestMacKey } from '../../protocol/cache/keys.ts';
import { decodeManifest, manifestDigest } from '../../protocol/cache/manifest.ts';
import { pointsMax } from '../limits.ts';
import type { Archive } from '../log-processor/archive.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import { sumBytes, sumOf } from '../replica/sums.ts';
import type { ProtectedItem, RecoveryPoint, VaultStore } from '../store/vault-store.ts';

export interface Finding {
  readonly code: 'ReplicaBlockCorrupt' | 'ArchiveBroken' | 'PointMissing' | 'ReadFailed';
  readonly summary: string;
  readonly context: Readonly<Record<string, string | number>>;
}

export interface VerifyResult {
  readonly manifests: number;
  readonly points: number;
  readonly bytesRead: number;
  readonly findings: readonly Finding[];
}

/** Findings named one by one; a dead disk has more, and these are enough to see it. */
const findingsMax = 100;
const readBytes = 1 << 20;

export async function verifyItem(
  parts: {
    readonly item: ProtectedItem;
    readonly itemKey: Uint8Array;
    readonly store: VaultStore;
    readonly replica: ReplicaStore;
    readonly archive: Archive;
  },
  onProgress: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void,
  signal: AbortSignal = new AbortController().signal,
): Promise<VerifyResult> {
  const { item, store, replica } = parts;
  const findings: Finding[] = [];
  const add = (finding: Finding) => {
    if (findings.length < findingsMax) findings.push(finding);
  };
  const manifests = await verifyArchive(parts, add, signal);
  const points = await store.listPoints(item.itemId, { limit: pointsMax });
  const onDisk = new Set<string>(await replica.listPoints(item.itemId));
  for (const point of points)
    if (!onDisk.has(point.pointId)) {
      // Retention may have removed it meanwhile.
      if ((await store.point(item.itemId, point.pointId)) !== undefined)
        add({
          code: 'PointMissing',
          summary: `recovery point ${point.pointId} of ${point.takenAt} is recorded but not on the replica store`,
          context: { pointId: point.pointId },
        });
    }
  // What is there and not recorded is being cut just now, or was when the vault was killed: nobody is offered it, and
  // retention takes it away.
  const whole = points.filter((point) => onDisk.has(point.pointId));
  const totalBytes = whole.reduce((sum, point) => sum + point.sizeBytes, 0);
  let bytesRead = 0;
  for (const point of whole)
    bytesRead += await verifyPoint(
      replica,
      point,
      add,
      (done) => onProgress({ doneBytes: bytesRead + done, totalBytes }),
      signal,
    );
  return { manifests, points: whole.length, bytesRead, findings };
}

async function verifyPoint(
  replica: ReplicaStore,
  point: RecoveryPoint,
  add: (finding: Finding) => void,
  onProgress: (doneBytes: number) => void,
  signal: AbortSignal,
): Promise<number> {
  let done = 0;
  try {
    for (const diskId of await replica.pointDisks(point.itemId, point.pointId)) {
      await using disk = await replica.openPoint(point.itemId, point.pointId, diskId);
      await using sums = await replica.openPointSums(point.itemId, point.pointId, diskId);
      const blockCount = Math.ceil(disk.sizeBytes / blockBytes);
      // Sums are written in whole pages, so the file may be a little longer than the disk needs.
      if (sums.sizeBytes < blockCount * sumBytes) {
        add({
          code: 'ReplicaBlockCorrupt',
          summary: `the sums of disk ${diskId} in recovery point ${point.pointId} have the wrong length`,
          context: { pointId: point.pointId, diskId },
        });
        continue;
      }
      const bytes = Buffer.alloc(readBytes);
      const expected = Buffer.alloc((readBytes / blockBytes) * sumBytes);
      for (let at = 0; at < disk.sizeBytes; at += readBytes) {
        const part = bytes.subarray(0, Math.min(readBytes, disk.sizeBytes - at));
        await disk.read(part, at);
        const count = Math.ceil(part.byteLength / blockBytes);
        await sums.read(expected.subarray(0, count * sumBytes), (at / blockBytes) * sumBytes);
        for (let block = 0; block < count; block++)
          if (
            sumOf(part.subarray(block * blockBytes, (block + 1) * blockBytes)) !==
            expected.readUInt32LE(block * sumBytes)
          )
            add({
              code: 'ReplicaBlockCorrupt',
              summary: `disk ${diskId} of recovery point ${point.pointId} is not what was replicated, at byte ${at + block * blockBytes}`,
              context: { pointId: point.pointId, diskId, offsetBytes: at + block * blockBytes },
            });
        done += part.byteLength;
        onProgress(done);
        signal.throwIfAborted();
      }
    }
  } catch (error) {
    // Whoever stopped the reading has found nothing.
    signal.throwIfAborted();
    // Retention may drop a point while it is read: that is no finding.
    if (!hasCode(error, 'RecoveryPointGone'))
      add({
        code: 'ReadFailed',
        summary: `recovery point ${point.pointId} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        context: { pointId: point.pointId },
      });
  }
  return done;
}

async function verifyArchive(
  parts: {
    readonly item: ProtectedItem;
    readonly itemKey: Uint8Array;
    readonly store: VaultStore;
    readonly archive: Archive;
  },
  add: (finding: Finding) => void,
  signal: AbortSignal,
): Promise<number> {
  const { item, store, archive } = parts;
  const { position } = await store.state(item.itemId);
  const macKey = manifestMacKey(parts.itemKey);
  let count = 0;
  const broken = (chain: number, sequence: number, why: string) =>
    add({
      code: 'ArchiveBroken',
      summary: `manifest ${sequence} of chain ${chain} in the archive: ${why}`,
      context: { chain, sequence },
    });
  const chains = await archive.chains(item.itemId);
  const points = await store.listPoints(item.itemId, { limit: pointsMax });
  for (const chain of new Set(points.map((point) => point.chain)))
    if (!chains.includes(chain) && chain !== position?.chain) broken(chain, 1, 'the whole chain is missing');
  if (position !== undefined && !chains.includes(position.chain))
    broken(position.chain, position.sequence, 'the whole chain is missing');
  for (const chain of chains) {
    if (position === undefined || chain > position.chain) continue;
    let previous: string | null | undefined = null;
    let expected = 1;
    let isFirst = true;
    for await (const { sequence, object } of archive.manifests(item.itemId, chain)) {
      // Behind the position lies what a crash left half recorded.
      if (chain === position.chain && sequence > position.sequence) break;
      signal.throwIfAborted();
      count++;
      if (isFirst && sequence > 1) {
        // Trimmed: what is there must still begin with what the oldest point needs.
        const oldest = Math.min(...points.filter((point) => point.chain === chain).map((p) => p.sequence));
        const needed = Math.min(oldest, chain === position.chain ? position.sequence : oldest);
        if (sequence > needed) broken(chain, sequence, `what is before it is missing, from ${needed} on`);
        expected = sequence;
        previous = undefined;
      }
      isFirst = false;
      try {
        const manifest = decodeManifest(object, macKey, `${chain}/${sequence}`);
        if (manifest.chain !== chain || manifest.sequence !== expected || manifest.sequence !== sequence)
          broken(
            chain,
            sequence,
            `it is manifest ${manifest.sequence} of chain ${manifest.chain}, not ${expected}`,
          );
        else if (previous !== undefined && manifest.previousDigest !== previous)
          broken(chain, sequence, 'it does not follow the one before it');
        expected = manifest.sequence + 1;
      } catch (error) {
        broken(chain, sequence, error instanceof LeewardError ? error.summary : String(error));
        expected++;
      }
      previous = manifestDigest(object);
    }
    if (chain === position.chain && expected !== position.sequence + 1)
      broken(chain, position.sequence, `the archive ends at ${expected - 1}`);
    else if (chain === position.chain && previous !== position.digest)
      broken(chain, position.sequence, 'it is not the manifest that was recorded as applied');
  }
  return count;
}
