/**
 * Refine: a closed journal part becomes one manifest and at most one segment a disk. The part is read into memory whole
 * and every frame is checked again; of each byte the last version stays; the segments are written to outgoing/ and synced;
 * then one record commits all of it (see `item-spool.ts`).
 *
 * A part ends at a bookmark or a resync-begin, so a manifest has at most one of each, behind its segments, as the log
 * processor expects.
 */
import type { HealthEvent } from '../../model/health.ts';
import type { ResyncProgress } from '../../model/progress.ts';
import { hasCode } from '../../platform/errors.ts';
import type { Files } from '../../platform/files.ts';
import { giveBack } from '../../platform/memory.ts';
import type { Random } from '../../platform/random.ts';
import { manifestMacKey } from '../../protocol/cache/keys.ts';
import {
  encodeManifest,
  type Manifest,
  manifestDigest,
  manifestKey,
  type SegmentReference,
  segmentKey,
} from '../../protocol/cache/manifest.ts';
import { type FrameSealer, framePlainBytes, writeSegment } from '../../protocol/cache/segment.ts';
import {
  completeFrame,
  decodeHeader,
  FrameFlag,
  headerBytes,
  packedBytesMin,
} from '../../protocol/replication/frame.ts';
import { unpack } from '../../protocol/replication/packed.ts';
import type { Receiver } from '../../protocol/replication/receiver.ts';
import { processServerErrors } from '../errors.ts';
import type { ClosedPart, ItemSpool, OutgoingRecord, SpoolState } from '../spool/item-spool.ts';
import { startPart } from '../spool/item-spool.ts';
import { type Interval, IntervalMap, type Packed } from './interval-map.ts';

/** Sealed frames are gathered to this much before they are written: one system call for some three. */
const writeBytes = 1 << 20;

export interface RefineParts {
  readonly files: Files;
  readonly random: Random;
  readonly sealer: FrameSealer;
  readonly itemKey: Uint8Array;
  readonly spool: ItemSpool;
  readonly nowMilliseconds: number;
  /** Of this process server, for the manifest. */
  readonly health: readonly HealthEvent[];
  readonly healthEventsMax: number;
  /** Memory for parts that nobody refines just now, each of `partBytesMax` and a write; never more than parts refined at
   * once. */
  readonly rooms?: Buffer[];
  readonly partBytesMax?: number;
}

export interface Refined {
  readonly name: string;
  readonly record: OutgoingRecord;
  readonly journalBytes: number;
  readonly logicalBytes: number;
}

export async function refinePart(parts: RefineParts, part: ClosedPart): Promise<Refined> {
  const pooledBytes = (parts.partBytesMax ?? 0) + writeBytes;
  const neededBytes = part.sizeBytes + writeBytes;
  const room =
    (neededBytes <= pooledBytes ? parts.rooms?.pop() : undefined) ??
    Buffer.allocUnsafeSlow(Math.max(pooledBytes, neededBytes));
  try {
    return await refineContent(
      parts,
      part,
      room.subarray(writeBytes, neededBytes),
      room.subarray(0, writeBytes),
    );
  } finally {
    if (room.byteLength === pooledBytes) parts.rooms?.push(room);
  }
}

async function refineContent(
  parts: RefineParts,
  part: ClosedPart,
  content: Buffer,
  writeRoom: Buffer,
): Promise<Refined> {
  const { spool } = parts;
  const state = spool.state;
  {
    await using file = await parts.files.open(part.path, 'read');
    const count = await file.read(content, 0);
    if (count !== part.sizeBytes)
      throw processServerErrors.SpoolDamaged(`journal part ${part.number} is ${count} bytes long`);
  }
  const read = readPart(content, state, part);
  const chain = state.chain ?? read.receiver.hello.generation;
  const sequence = state.tip.sequence + 1;
  const base = `${pad(chain)}-${pad(sequence)}`;
  await spool.retract(`${base}.json`);
  const segments: SegmentReference[] = [];
  const segmentFiles: string[] = [];
  let bytes = 0;
  for (const [index, map] of read.maps.entries()) {
    if (map.intervals.length === 0) continue;
    const { diskId } = read.receiver.disks[index]!;
    const fileName = `${base}-${diskId}.seg`;
    const path = `${spool.outgoingFolder}/${fileName}`;
    await parts.files.remove(path);
    await using file = await parts.files.open(path, 'exclusive');
    const batch = new Batch(writeRoom, (piece, positionBytes) => file.write(piece, positionBytes));
    const written = await writeSegment(
      {
        identity: { itemId: spool.itemId, diskId, chain, sequence },
        itemKey: parts.itemKey,
        salt: parts.random.bytes(32),
        extents: map.intervals.map((interval) => ({ ...interval, body: bodyOf(content, interval) })),
        fill: fillerOf(content, map),
      },
      parts.sealer,
      async (piece) => {
        await batch.add(piece);
        giveBack(piece);
      },
    );
    await batch.flush();
    await file.sync();
    segmentFiles.push(fileName);
    bytes += written.objectBytes;
    segments.push({ diskId, key: segmentKey(spool.itemId, chain, sequence, diskId), ...written });
  }
  const manifest: Manifest = {
    format: 'leeward-manifest/1',
    itemId: spool.itemId,
    chain,
    sequence,
    previousDigest: state.tip.digest,
    generation: read.receiver.hello.generation,
    createdAt: new Date(parts.nowMilliseconds).toISOString(),
    segments,
    disks: read.receiver.disks.map(({ diskId, sizeBytes, state, cause }) => ({
      diskId,
      sizeBytes,
      state,
      ...(cause === undefined ? {} : { cause }),
    })),
    ...(read.bookmark ? { bookmark: read.bookmark } : {}),
    ...(read.digestRequest ? { digestRequest: read.digestRequest } : {}),
    progress: [...read.progress.values()],
    health: [...parts.health, ...read.health].slice(-parts.healthEventsMax),
  };
  const object = encodeManifest(manifest, manifestMacKey(parts.itemKey));
  const stateAfter: SpoolState = {
    ...state,
    chain,
    tip: { sequence, digest: manifestDigest(object) },
    refinedThroughPart: part.number,
    disks: [...read.receiver.disks],
    received: { generation: read.receiver.hello.generation, sequence: read.receiver.sequence },
  };
  const record: OutgoingRecord = {
    format: 'leeward-outgoing/1',
    object: object.toString(),
    manifest,
    manifestKey: manifestKey(spool.itemId, chain, sequence),
    segmentFiles,
    bytes: bytes + object.byteLength,
    stateAfter,
  };
  const name = `${base}.json`;
  await spool.commit(part, name, record);
  const logicalBytes = segments.reduce((total, segment) => total + segment.logicalBytes, 0);
  return { name, record, journalBytes: part.sizeBytes, logicalBytes };
}

const pad = (count: number) => String(count).padStart(16, '0');

interface PartContent {
  readonly receiver: Receiver;
  readonly maps: readonly IntervalMap[];
  bookmark: Manifest['bookmark'];
  digestRequest: Manifest['digestRequest'];
  readonly progress: Map<string, ResyncProgress>;
  readonly health: HealthEvent[];
}

function readPart(content: Buffer, state: SpoolState, part: ClosedPart): PartContent {
  let result: PartContent | undefined;
  try {
    for (let at = 0; at < content.byteLength; ) {
      const header = decodeHeader(content.subarray(at, at + headerBytes));
      const sourceBytes = at + headerBytes;
      const frame = completeFrame(header, content.subarray(sourceBytes, sourceBytes + header.payloadBytes));
      at = sourceBytes + header.payloadBytes;
      if (!result) {
        const receiver = startPart(frame, undefined, state.disks);
        result = {
          receiver,
          maps: receiver.disks.map(() => new IntervalMap()),
          bookmark: undefined,
          digestRequest: undefined,
          progress: new Map(),
          health: [],
        };
        continue;
      }
      const received = result.receiver.accept(frame);
      switch (received.kind) {
        case 'data':
        case 'zero':
          result.maps[received.diskIndex]!.put({
            kind: received.kind,
            offsetBytes: frame.offsetBytes,
            lengthBytes: frame.lengthBytes,
            sourceBytes: received.kind === 'data' ? sourceBytes : 0,
            ...(frame.flags === FrameFlag.packed
              ? {
                  packed: { sizeBytes: header.payloadBytes, plainBytes: frame.lengthBytes, skipBytes: 0 },
                }
              : {}),
          });
          break;
        case 'bookmark':
          result.bookmark = received.bookmark;
          break;
        case 'resync-begin':
          if (received.begin.kind === 'resync') {
            const { resyncId, diskId, fromBytes } = received.begin;
            result.digestRequest = { resyncId, diskId, fromBytes };
          }
          break;
        case 'progress':
          result.progress.set(received.progress.diskId, received.progress);
          break;
        case 'health':
          result.health.push(received.event);
          break;
        case 'resync-end':
          break;
      }
    }
  } catch (error) {
    if (!hasCode(error, 'CorruptFrame', 'ProtocolViolated', 'InvalidInput')) throw error;
    throw processServerErrors.SpoolDamaged(`journal part ${part.number} does not check`, error);
  }
  if (!result) throw processServerErrors.SpoolDamaged(`journal part ${part.number} is empty`);
  return result;
}

/** A frame's body that can go on as it came: all of what was packed is left, or the sender saw that it does not shrink. */
function bodyOf(content: Buffer, interval: Interval): Uint8Array | undefined {
  const { kind, sourceBytes, lengthBytes, packed } = interval;
  if (kind === 'zero') return undefined;
  if (packed)
    return packed.plainBytes === lengthBytes
      ? content.subarray(sourceBytes, sourceBytes + packed.sizeBytes)
      : undefined;
  if (lengthBytes < packedBytesMin || lengthBytes > framePlainBytes) return undefined;
  return content.subarray(sourceBytes, sourceBytes + lengthBytes);
}

/** Copies the newest bytes of the disk from the journal; only asked for ranges that are data throughout. */
function fillerOf(content: Buffer, map: IntervalMap): (target: Uint8Array, offsetBytes: number) => void {
  // What is left of a packed frame lies in pieces one after the other: it is unpacked once for all of them.
  let unpackedAt = -1;
  let unpacked: Buffer = Buffer.alloc(0);
  return (target, offsetBytes) => {
    let index = map.indexAt(offsetBytes);
    for (let done = 0; done < target.byteLength; index++) {
      const { packed, sourceBytes, ...interval } = map.intervals[index]!;
      const skip = offsetBytes + done - interval.offsetBytes;
      const count = Math.min(interval.lengthBytes - skip, target.byteLength - done);
      if (packed) {
        if (unpackedAt !== sourceBytes) unpacked = unpackPart(content, sourceBytes, packed);
        unpackedAt = sourceBytes;
        const from = packed.skipBytes + skip;
        target.set(unpacked.subarray(from, from + count), done);
      } else target.set(content.subarray(sourceBytes + skip, sourceBytes + skip + count), done);
      done += count;
    }
  };
}

function unpackPart(content: Buffer, sourceBytes: number, { sizeBytes, plainBytes }: Packed): Buffer {
  try {
    return unpack(content.subarray(sourceBytes, sourceBytes + sizeBytes), plainBytes);
  } catch (cause) {
    throw processServerErrors.SpoolDamaged('a packed frame cannot be unpacked', cause);
  }
}

/** Gathers what is small into large writes, in one buffer. */
class Batch {
  readonly #write: (piece: Uint8Array, positionBytes: number) => Promise<void>;
  readonly #buffer: Buffer;
  #heldBytes = 0;
  #positionBytes = 0;

  constructor(buffer: Buffer, write: (piece: Uint8Array, positionBytes: number) => Promise<void>) {
    this.#buffer = buffer;
    this.#write = write;
  }

  async add(piece: Uint8Array): Promise<void> {
    for (let done = 0; done < piece.byteLength; ) {
      const count = Math.min(piece.byteLength - done, this.#buffer.byteLength - this.#heldBytes);
      this.#buffer.set(piece.subarray(done, done + count), this.#heldBytes);
      done += count;
      this.#heldBytes += count;
      if (this.#heldBytes === this.#buffer.byteLength) await this.flush();
    }
  }

  async flush(): Promise<void> {
    if (this.#heldBytes === 0) return;
    await this.#write(this.#buffer.subarray(0, this.#heldBytes), this.#positionBytes);
    this.#positionBytes += this.#heldBytes;
    this.#heldBytes = 0;
  }
}
