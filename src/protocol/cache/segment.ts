/**
 * A segment: everything that changed on one disk between two manifests, as one immutable encrypted object in cache
 * storage. The process server's refine writes it, the vault's log processor reads it. `docs/formats/segment.md` is the
 * specification.
 *
 *     ┌ header, 128 bytes ┬ frame 0 ┬ frame 1 ┬ … ┬ SHA-256 of all before ┐
 *                         │ 16-byte head │ cipher text │ 16-byte tag │
 *
 * The first frames hold the index (which ranges, data or zero, sorted), the others the data of the data ranges, one after
 * the other, at most a MiB in each: so a reader streams, and knows each byte's place when it arrives. Zero ranges have no
 * data.
 *
 * Frames are zstd (or stored, when that gains less than 5 %): as their sender packed them, where that is what is left of
 * the changes; what came in small pieces is packed here. Then AES-256-GCM under a key of this object alone; the nonce
 * is the frame's number. Header, frame number and frame head are authenticated with every frame, so a frame cannot be
 * moved within an object or between objects, items, disks, chains or sequence numbers, and none can be left out: the
 * header tells how many there are.
 *
 * A reader gets verified bytes or `CorruptSegment`, never anything else.
 */
import { createCipheriv, createDecipheriv, createHash, type Hash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { LeewardError } from '../../platform/errors.ts';
import { giveBack } from '../../platform/memory.ts';
import { corruptSegment, type ObjectFacts } from './errors.ts';
import { objectKey } from './keys.ts';

export const segmentHeaderBytes = 128;
const frameHeadBytes = 16;
const tagBytes = 16;
const digestBytes = 32;
const indexEntryBytes = 16;

/** Plain bytes of a frame. 1 MiB: larger gains no ratio at level 1, smaller costs calls and tags. */
export const framePlainBytes = 1 << 20;
/** 65,536 entries are one full index frame. 64 of them are 4 Mi extents: 16 GiB of 4 KiB blocks. */
const indexFramesMax = 64;
/** Version 2: data frames have any length up to a MiB; in version 1 all but the last had a MiB, so it is read like this. */
const version = 2;
const magic = Buffer.from('LWSG');
const Kind = { segment: 1, object: 2 } as const;
const Codec = { stored: 0, zstd: 1 } as const;
/** Below this ratio a frame is stored: the reader saves the decompression. */
const ratioMin = 1.05;

export interface SegmentIdentity {
  readonly itemId: ProtectedItemId;
  readonly diskId: ProtectedDiskId;
  readonly chain: number;
  readonly sequence: number;
}

export interface SegmentExtent {
  readonly kind: 'data' | 'zero';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What a frame is sealed with. Plain and transferable, so that a worker thread can do it. */
export interface FrameJob {
  /** Of this object; 32 bytes. */
  readonly key: Uint8Array;
  /** The object's header. */
  readonly header: Uint8Array;
  readonly frameNumber: number;
  /** Given away: the caller does not touch it again. */
  readonly plain: Uint8Array<ArrayBuffer>;
}

export interface FrameSealer {
  /** How many frames are worth having under way at once. */
  readonly concurrency: number;
  /** Memory for a job's `plain`, its content undefined: that of an earlier job, where there is one. Default: new. */
  room?(lengthBytes: number): Uint8Array<ArrayBuffer>;
  seal(job: FrameJob): Promise<Uint8Array>;
}

/** What a frame is opened with. Plain and transferable, so that a worker thread can do it. */
export interface OpenJob {
  readonly key: Uint8Array;
  /** The object's header. */
  readonly header: Uint8Array;
  readonly frameNumber: number;
  readonly frameHead: Uint8Array;
  readonly plainBytes: number;
  /** Cipher text and tag, as the head says how long. May be a view of something larger. */
  readonly sealed: Uint8Array;
}

/** Where a segment goes that nobody in between wants to see. */
export interface SegmentTarget {
  /** How many frames are worth having under way at once. */
  readonly frameConcurrency: number;
  /** Opens the frame and puts what it has into these ranges, one after the other. `job.sealed` stays as it is until then.
   * Rejects with `FrameDamaged`, and has then put nothing anywhere. */
  writeFrame(job: OpenJob, ranges: readonly DiskRange[]): Promise<void>;
  zero(offsetBytes: number, lengthBytes: number): Promise<void>;
}

export interface DiskRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Why a frame is not what was sealed. Its reader knows which object it is and says so. */
export class FrameDamaged extends Error {}

export interface SourceExtent extends SegmentExtent {
  /** Of data of at most `framePlainBytes`: a frame's body as it is, one zstd frame, or the bytes themselves where zstd
   * gains nothing. Without it the bytes are asked for, and packed with their neighbours'. */
  readonly body?: Uint8Array | undefined;
}

export interface SegmentSource {
  readonly identity: SegmentIdentity;
  readonly itemKey: Uint8Array;
  /** 32 random bytes, never used before. */
  readonly salt: Uint8Array;
  /** Sorted, not overlapping. */
  readonly extents: readonly SourceExtent[];
  /** Fills `target` with the disk's new content from `offsetBytes` on; only asked for data without a body, in order. */
  fill(target: Uint8Array, offsetBytes: number): void | Promise<void>;
}

export interface WrittenSegment {
  readonly sha256: string;
  readonly objectBytes: number;
  readonly logicalBytes: number;
  readonly extentCount: number;
}

/** Seals in the calling thread: for the simulation, tests, and small objects. */
export const inlineSealer: FrameSealer = { concurrency: 1, seal: async (job) => sealFrame(job) };

/** Writes a segment piece by piece to `sink`, in order. */
export async function writeSegment(
  source: SegmentSource,
  sealer: FrameSealer,
  sink: (bytes: Uint8Array) => Promise<void>,
): Promise<WrittenSegment> {
  const extents = joined(source.extents);
  const dataBytes = sum(extents, 'data');
  const zeroBytes = sum(extents, 'zero');
  const indexFrames = Math.max(1, Math.ceil((extents.length * indexEntryBytes) / framePlainBytes));
  if (indexFrames > indexFramesMax)
    throw new RangeError(`${extents.length} extents are too many for a segment`);
  const frames = framesOf(source.extents);
  const header = newHeader(Kind.segment, source.salt, indexFrames + frames.length);
  idBytes(source.identity.itemId).copy(header, 48);
  idBytes(source.identity.diskId).copy(header, 64);
  header.writeBigUInt64LE(BigInt(source.identity.chain), 80);
  header.writeBigUInt64LE(BigInt(source.identity.sequence), 88);
  header.writeBigUInt64LE(BigInt(dataBytes), 96);
  header.writeUInt32LE(extents.length, 104);
  const out = new ObjectWriter(header, objectKey(source.itemKey, source.salt), sealer, sink);
  await out.begin();
  for (let at = 0; at === 0 || at < extents.length; at += framePlainBytes / indexEntryBytes)
    await out.add(encodeIndex(extents.slice(at, at + framePlainBytes / indexEntryBytes)));
  for (const { plainBytes, body, ranges } of frames) {
    if (body) {
      await out.addBody(body, plainBytes);
      continue;
    }
    const plain = sealer.room?.(plainBytes) ?? new Uint8Array(new ArrayBuffer(plainBytes));
    let filled = 0;
    for (const { offsetBytes, lengthBytes } of ranges) {
      await source.fill(plain.subarray(filled, filled + lengthBytes), offsetBytes);
      filled += lengthBytes;
    }
    await out.add(plain);
  }
  return { ...(await out.end()), logicalBytes: dataBytes + zeroBytes, extentCount: extents.length };
}

interface PlannedFrame {
  plainBytes: number;
  readonly body?: Uint8Array;
  readonly ranges: { readonly offsetBytes: number; readonly lengthBytes: number }[];
}

/** What the data frames will hold: each body is a frame; what lies between bodies is cut every MiB. */
function framesOf(extents: readonly SourceExtent[]): PlannedFrame[] {
  const frames: PlannedFrame[] = [];
  let open: PlannedFrame | undefined;
  for (const { kind, offsetBytes, lengthBytes, body } of extents) {
    if (kind === 'zero') continue;
    if (body) {
      if (lengthBytes > framePlainBytes || body.byteLength > lengthBytes)
        throw new RangeError(`a body of ${body.byteLength} bytes for ${lengthBytes}`);
      frames.push({ plainBytes: lengthBytes, body, ranges: [] });
      open = undefined;
      continue;
    }
    for (let done = 0; done < lengthBytes; ) {
      if (!open || open.plainBytes === framePlainBytes) {
        open = { plainBytes: 0, ranges: [] };
        frames.push(open);
      }
      const count = Math.min(lengthBytes - done, framePlainBytes - open.plainBytes);
      open.ranges.push({ offsetBytes: offsetBytes + done, lengthBytes: count });
      open.plainBytes += count;
      done += count;
    }
  }
  return frames;
}

export interface SegmentExpectations {
  readonly identity: SegmentIdentity;
  /** From the manifest's reference. */
  readonly sha256?: string;
  /** Whoever gives the source has compared its SHA-256 already: it is not computed a second time. */
  readonly isVerified?: boolean;
  readonly objectBytes?: number;
  /** Extents beyond it are refused. */
  readonly diskSizeBytes?: number;
}

/** Zero ranges and frames under way at once, together: a segment may be nothing but small zero ranges. */
const placedAtOnceMax = 64;

/**
 * Puts a segment where it belongs: each frame is opened where `target` likes, in any order, so that plain bytes need not
 * pass through this thread. Each is verified before any of it is put, the whole object only when this has ended; all have
 * come to rest then, however it ends. Throws `CorruptSegment`. `source` is any stream of bytes: an object from cache storage,
 * a file.
 */
export async function placeSegment(
  source: AsyncIterable<Uint8Array>,
  itemKey: Uint8Array,
  expectations: SegmentExpectations,
  target: SegmentTarget,
  signal: AbortSignal,
): Promise<void> {
  const { input, facts } = readerOf(source, expectations);
  const underWay = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let framesUnderWay = 0;
  const begin = (work: Promise<void>, frames: number) => {
    framesUnderWay += frames;
    const watched = work
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        framesUnderWay -= frames;
        underWay.delete(watched);
      });
    underWay.add(watched);
  };
  const room = async () => {
    while (framesUnderWay >= target.frameConcurrency || underWay.size >= placedAtOnceMax)
      await Promise.race(underWay);
    signal.throwIfAborted();
    if (failure !== undefined) throw failure.error;
  };
  try {
    const { key, extents, dataBytes, frameCount } = await beginning(input, itemKey, expectations, facts);
    let framesLeft = frameCount;
    let remaining = dataBytes;
    let job: OpenJob | undefined;
    let ranges: DiskRange[] = [];
    let filled = 0;
    for (const { kind, offsetBytes, lengthBytes } of extents) {
      if (kind === 'zero') {
        await room();
        begin(target.zero(offsetBytes, lengthBytes), 0);
        continue;
      }
      for (let done = 0; done < lengthBytes; ) {
        if (job === undefined) {
          if (framesLeft-- === 0) throw corruptSegment('it has too few frames', facts);
          job = await input.sealed(key, Math.min(framePlainBytes, remaining), false);
          remaining -= job.plainBytes;
        }
        const count = Math.min(lengthBytes - done, job.plainBytes - filled);
        ranges.push({ offsetBytes: offsetBytes + done, lengthBytes: count });
        filled += count;
        done += count;
        if (filled < job.plainBytes) continue;
        await room();
        begin(placed(job, ranges, target, facts), 1);
        job = undefined;
        ranges = [];
        filled = 0;
      }
    }
    if (framesLeft !== 0) throw corruptSegment('it has too many frames', facts);
    await input.end(expectations.sha256);
  } finally {
    await Promise.all(underWay);
    await input.close();
  }
  if (failure !== undefined) throw failure.error;
}

/** Reads a segment to its end and keeps nothing. Throws `CorruptSegment`. */
export async function verifySegment(
  source: AsyncIterable<Uint8Array>,
  itemKey: Uint8Array,
  expectations: SegmentExpectations,
  signal: AbortSignal,
): Promise<void> {
  const nowhere: SegmentTarget = {
    frameConcurrency: 1,
    writeFrame: async (job) => giveBack(openFrame(job), 1),
    zero: async () => {},
  };
  await placeSegment(source, itemKey, expectations, nowhere, signal);
}

async function placed(
  job: OpenJob,
  ranges: readonly DiskRange[],
  target: SegmentTarget,
  facts: ObjectFacts,
): Promise<void> {
  try {
    await target.writeFrame(job, ranges);
  } catch (cause) {
    throw damaged(job, cause, facts);
  }
}

/** `FrameDamaged` with the object that it is in; anything else as it is. */
function damaged(job: OpenJob, cause: unknown, facts: ObjectFacts): unknown {
  return cause instanceof FrameDamaged
    ? corruptSegment(`frame ${job.frameNumber} ${cause.message}`, facts, cause)
    : cause;
}

function readerOf(
  source: AsyncIterable<Uint8Array>,
  expectations: SegmentExpectations,
): { readonly input: ObjectReader; readonly facts: ObjectFacts } {
  const facts: ObjectFacts = { ...expectations.identity };
  const { objectBytes, isVerified } = expectations;
  return { input: new ObjectReader(source, facts, objectBytes, isVerified !== true), facts };
}

/** Header and index, and whether they agree with each other and with what is expected. */
async function beginning(
  input: ObjectReader,
  itemKey: Uint8Array,
  expectations: SegmentExpectations,
  facts: ObjectFacts,
): Promise<{
  readonly key: Buffer;
  readonly extents: readonly SegmentExtent[];
  readonly dataBytes: number;
  readonly frameCount: number;
}> {
  const header = await input.header(Kind.segment);
  const expected = Buffer.alloc(48);
  idBytes(expectations.identity.itemId).copy(expected, 0);
  idBytes(expectations.identity.diskId).copy(expected, 16);
  expected.writeBigUInt64LE(BigInt(expectations.identity.chain), 32);
  expected.writeBigUInt64LE(BigInt(expectations.identity.sequence), 40);
  if (!header.subarray(48, 96).equals(expected))
    throw corruptSegment('it belongs to another item, disk or place in the chain', facts);
  const dataBytes = Number(header.readBigUInt64LE(96));
  const extentCount = header.readUInt32LE(104);
  const indexFrames = Math.max(1, Math.ceil((extentCount * indexEntryBytes) / framePlainBytes));
  const frameCount = input.frameCount - indexFrames;
  if (
    !Number.isSafeInteger(dataBytes) ||
    indexFrames > indexFramesMax ||
    frameCount < Math.ceil(dataBytes / framePlainBytes) ||
    frameCount > dataBytes
  )
    throw corruptSegment('the counts in its header do not agree', facts);
  const key = objectKey(itemKey, header.subarray(16, 48));
  const extents: SegmentExtent[] = [];
  for (let index = 0; index < indexFrames; index++) {
    const count = Math.min(framePlainBytes / indexEntryBytes, extentCount - extents.length);
    extents.push(...decodeIndex(await input.frame(key, count * indexEntryBytes), facts));
  }
  let previousEnd = 0;
  for (const extent of extents) {
    const end = extent.offsetBytes + extent.lengthBytes;
    if (extent.offsetBytes < previousEnd || extent.lengthBytes <= 0 || !Number.isSafeInteger(end))
      throw corruptSegment('its extents are not in order', facts);
    if (end > (expectations.diskSizeBytes ?? Number.MAX_SAFE_INTEGER))
      throw corruptSegment('it writes beyond the end of the disk', facts);
    previousEnd = end;
  }
  if (sum(extents, 'data') !== dataBytes) throw corruptSegment('its index does not match its data', facts);
  return { key, extents, dataBytes, frameCount };
}

/**
 * A small whole object (digests of a resync) under the same frame crypto, bound to the key it is stored under. `salt` is
 * 32 random bytes, never used before.
 */
export function sealObject(itemKey: Uint8Array, salt: Uint8Array, key: string, plain: Uint8Array): Buffer {
  const header = newHeader(Kind.object, salt, Math.ceil(plain.byteLength / framePlainBytes) || 1);
  createHash('sha256').update(key).digest().copy(header, 48);
  header.writeBigUInt64LE(BigInt(plain.byteLength), 96);
  const secret = objectKey(itemKey, salt);
  const pieces: Uint8Array[] = [header];
  for (let at = 0, frameNumber = 0; frameNumber === 0 || at < plain.byteLength; at += framePlainBytes)
    pieces.push(
      sealFrame({
        key: secret,
        header,
        frameNumber: frameNumber++,
        plain: Uint8Array.from(plain.subarray(at, at + framePlainBytes)),
      }),
    );
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return Buffer.concat([...pieces, hash.digest()]);
}

/** What `sealObject` sealed under this key. Throws `CorruptSegment`. */
export async function openObject(itemKey: Uint8Array, key: string, object: Uint8Array): Promise<Buffer> {
  const facts = { key };
  const input = new ObjectReader(
    (async function* () {
      yield object;
    })(),
    facts,
    undefined,
  );
  const header = await input.header(Kind.object);
  if (!header.subarray(48, 80).equals(createHash('sha256').update(key).digest()))
    throw corruptSegment('it was stored under another key', facts);
  let remaining = Number(header.readBigUInt64LE(96));
  if (input.frameCount !== (Math.ceil(remaining / framePlainBytes) || 1))
    throw corruptSegment('the counts in its header do not agree', facts);
  const secret = objectKey(itemKey, header.subarray(16, 48));
  const pieces: Buffer[] = [];
  for (let index = 0; index < input.frameCount; index++) {
    const plain = await input.frame(secret, Math.min(framePlainBytes, remaining));
    pieces.push(plain);
    remaining -= plain.byteLength;
  }
  await input.end(undefined);
  return Buffer.concat(pieces);
}

/** Compresses and encrypts one frame: head, cipher text, tag. Pure; the workers call it. */
export function sealFrame(job: FrameJob): Uint8Array<ArrayBuffer> {
  const { plain } = job;
  const body: Uint8Array =
    plain.byteLength === 0
      ? plain
      : zstdCompressSync(plain, {
          ...zstdOptions,
          pledgedSrcSize: plain.byteLength,
          // In one piece: the default of 16 KiB makes 64 pieces of it, which are then joined.
          chunkSize: Math.max(zstdChunkBytesMin, plain.byteLength),
        });
  const isGain = body.byteLength * ratioMin < plain.byteLength;
  return sealBody(job, isGain ? body : plain, plain.byteLength);
}

/** Encrypts one frame whose body is there: shorter than the plain bytes it is zstd, else it is they. */
function sealBody(
  job: Omit<FrameJob, 'plain'>,
  body: Uint8Array,
  plainBytes: number,
): Uint8Array<ArrayBuffer> {
  const sealed = Buffer.from(new ArrayBuffer(frameHeadBytes + body.byteLength + tagBytes));
  sealed.writeUInt32LE(job.frameNumber, 0);
  sealed.writeUInt8(body.byteLength < plainBytes ? Codec.zstd : Codec.stored, 4);
  sealed.writeUInt32LE(plainBytes, 8);
  sealed.writeUInt32LE(body.byteLength, 12);
  const cipher = createCipheriv('aes-256-gcm', job.key, nonce(job.frameNumber));
  cipher.setAAD(additional(job.header, sealed.subarray(0, frameHeadBytes)));
  const encrypted = cipher.update(body);
  sealed.set(encrypted, frameHeadBytes);
  giveBack(encrypted);
  cipher.final();
  cipher.getAuthTag().copy(sealed, frameHeadBytes + body.byteLength);
  return sealed as Uint8Array<ArrayBuffer>;
}

/** Authenticates, decrypts and decompresses one frame. Throws `FrameDamaged`. Pure; the workers call it. The memory of what it
 * answers is the caller's, and may be a byte longer. */
export function openFrame(job: OpenJob): Uint8Array {
  const head = Buffer.from(job.frameHead.buffer, job.frameHead.byteOffset, job.frameHead.byteLength);
  const codec = head.readUInt8(4);
  const plainBytes = head.readUInt32LE(8);
  const bodyBytes = head.readUInt32LE(12);
  let body: Buffer;
  try {
    const decipher = createDecipheriv('aes-256-gcm', job.key, nonce(job.frameNumber), {
      authTagLength: tagBytes,
    });
    decipher.setAAD(additional(job.header, head));
    decipher.setAuthTag(job.sealed.subarray(bodyBytes));
    body = decipher.update(job.sealed.subarray(0, bodyBytes));
    decipher.final();
  } catch (cause) {
    throw new FrameDamaged('does not authenticate', { cause });
  }
  if (codec === Codec.stored && bodyBytes === plainBytes) return body;
  if (codec !== Codec.zstd) throw new FrameDamaged('has an unknown codec');
  try {
    const plain = zstdDecompressSync(body, {
      maxOutputLength: plainBytes,
      // node:zlib gets itself another piece when the one it has is full to the last byte.
      chunkSize: Math.max(zstdChunkBytesMin, plainBytes + 1),
    });
    if (plain.byteLength === plainBytes) {
      giveBack(body);
      return plain;
    }
  } catch (cause) {
    throw new FrameDamaged('does not decompress', { cause });
  }
  throw new FrameDamaged('decompresses to another length');
}

/** Level 1: 0.4 GB/s a thread on disk data; level 3 halves that for 5 % of size. */
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** node:zlib takes no less than 64. */
const zstdChunkBytesMin = 4096;

/** Unique within an object, which is all that counts: no two objects share a key. */
function nonce(frameNumber: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(frameNumber, 8);
  return bytes;
}

function additional(header: Uint8Array, frameHead: Uint8Array): Buffer {
  return Buffer.concat([header, frameHead]);
}

function newHeader(kind: number, salt: Uint8Array, frameCount: number): Buffer {
  if (salt.byteLength !== 32) throw new RangeError('a salt has 32 bytes');
  const header = Buffer.alloc(segmentHeaderBytes);
  magic.copy(header, 0);
  header.writeUInt16LE(version, 4);
  header.writeUInt8(kind, 6);
  header.writeUInt32LE(frameCount, 8);
  header.set(salt, 16);
  return header;
}

function idBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function sum(extents: readonly SegmentExtent[], kind: 'data' | 'zero'): number {
  let total = 0;
  for (const extent of extents) if (extent.kind === kind) total += extent.lengthBytes;
  return total;
}

/** Neighbours of one kind become one: a 64 MiB sequential write is one entry, not 64. */
function joined(extents: readonly SegmentExtent[]): SegmentExtent[] {
  const result: { kind: 'data' | 'zero'; offsetBytes: number; lengthBytes: number }[] = [];
  for (const { kind, offsetBytes, lengthBytes } of extents) {
    const last = result.at(-1);
    const end = last ? last.offsetBytes + last.lengthBytes : 0;
    if (offsetBytes < end || lengthBytes <= 0) throw new RangeError('extents must be sorted and apart');
    if (last && last.kind === kind && end === offsetBytes) last.lengthBytes += lengthBytes;
    else result.push({ kind, offsetBytes, lengthBytes });
  }
  return result;
}

/** offset u64, length u48, kind u8 (0 data, 1 zero), zero u8. */
function encodeIndex(extents: readonly SegmentExtent[]): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(extents.length * indexEntryBytes));
  for (const [index, extent] of extents.entries()) {
    const at = index * indexEntryBytes;
    bytes.writeBigUInt64LE(BigInt(extent.offsetBytes), at);
    bytes.writeUIntLE(extent.lengthBytes, at + 8, 6);
    bytes.writeUInt8(extent.kind === 'zero' ? 1 : 0, at + 14);
  }
  return bytes as Uint8Array<ArrayBuffer>;
}

function decodeIndex(bytes: Buffer, facts: ObjectFacts): SegmentExtent[] {
  const extents: SegmentExtent[] = [];
  for (let at = 0; at < bytes.byteLength; at += indexEntryBytes) {
    if (bytes.readUInt8(at + 14) > 1 || bytes.readUInt8(at + 15) !== 0)
      throw corruptSegment('its index has an entry of an unknown kind', facts);
    extents.push({
      kind: bytes.readUInt8(at + 14) === 1 ? 'zero' : 'data',
      offsetBytes: Number(bytes.readBigUInt64LE(at)),
      lengthBytes: bytes.readUIntLE(at + 8, 6),
    });
  }
  return extents;
}

/** Frames go to the sealer a few at a time and come out in order. */
class ObjectWriter {
  readonly #header: Buffer;
  readonly #key: Uint8Array;
  readonly #sealer: FrameSealer;
  readonly #sink: (bytes: Uint8Array) => Promise<void>;
  readonly #hash: Hash = createHash('sha256');
  readonly #underWay: Promise<Uint8Array>[] = [];
  #frameNumber = 0;
  #objectBytes = 0;

  constructor(
    header: Buffer,
    key: Uint8Array,
    sealer: FrameSealer,
    sink: (bytes: Uint8Array) => Promise<void>,
  ) {
    this.#header = header;
    this.#key = key;
    this.#sealer = sealer;
    this.#sink = sink;
  }

  async begin(): Promise<void> {
    await this.#put(this.#header);
  }

  async add(plain: Uint8Array<ArrayBuffer>): Promise<void> {
    const frameNumber = this.#frameNumber++;
    await this.#line(this.#sealer.seal({ key: this.#key, header: this.#header, frameNumber, plain }));
  }

  /** Here, in this thread: to encrypt what is packed takes less than to hand it to another. */
  async addBody(body: Uint8Array, plainBytes: number): Promise<void> {
    const frameNumber = this.#frameNumber++;
    await this.#line(
      Promise.resolve(sealBody({ key: this.#key, header: this.#header, frameNumber }, body, plainBytes)),
    );
  }

  async #line(sealed: Promise<Uint8Array>): Promise<void> {
    // Looked at later, in order; until then a failure must not count as unhandled.
    sealed.catch(() => {});
    this.#underWay.push(sealed);
    while (this.#underWay.length >= this.#sealer.concurrency) await this.#put(await this.#underWay.shift()!);
  }

  async end(): Promise<{ sha256: string; objectBytes: number }> {
    while (this.#underWay.length > 0) await this.#put(await this.#underWay.shift()!);
    await this.#put(this.#hash.copy().digest());
    return { sha256: this.#hash.digest('hex'), objectBytes: this.#objectBytes };
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#objectBytes += bytes.byteLength;
    await this.#sink(bytes);
  }
}

/** Takes an object apart from the front, hashing as it goes. */
class ObjectReader {
  frameCount = 0;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #facts: ObjectFacts;
  readonly #expectedBytes: number | undefined;
  readonly #hash = createHash('sha256');
  readonly #isHashed: boolean;
  #header: Buffer = Buffer.alloc(0);
  #held: Buffer = Buffer.alloc(0);
  #readBytes = 0;
  #frameNumber = 0;

  constructor(
    source: AsyncIterable<Uint8Array>,
    facts: ObjectFacts,
    expectedBytes: number | undefined,
    isHashed = true,
  ) {
    this.#isHashed = isHashed;
    this.#source = source[Symbol.asyncIterator]();
    this.#facts = facts;
    this.#expectedBytes = expectedBytes;
  }

  async header(kind: number): Promise<Buffer> {
    this.#header = await this.#take(segmentHeaderBytes);
    this.#pass(this.#header);
    const header = this.#header;
    if (!header.subarray(0, 4).equals(magic)) this.#fail('the magic number is wrong');
    const written = header.readUInt16LE(4);
    if (written !== version && written !== 1) this.#fail(`version ${written} is not known`);
    if (header.readUInt8(6) !== kind) this.#fail('it is an object of another kind');
    this.frameCount = header.readUInt32LE(8);
    return header;
  }

  async frame(key: Uint8Array, plainBytes: number): Promise<Buffer> {
    const job = await this.sealed(key, plainBytes);
    try {
      const plain = openFrame(job);
      return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
    } catch (cause) {
      throw damaged(job, cause, this.#facts);
    }
  }

  /** The next frame as it is, its head checked. */
  async sealed(key: Uint8Array, plainBytesMax: number, isExact = true): Promise<OpenJob> {
    const head = await this.#take(frameHeadBytes);
    this.#pass(head);
    const frameNumber = this.#frameNumber++;
    const plainBytes = head.readUInt32LE(8);
    const bodyBytes = head.readUInt32LE(12);
    if (
      head.readUInt32LE(0) !== frameNumber ||
      (isExact ? plainBytes !== plainBytesMax : plainBytes === 0 || plainBytes > plainBytesMax) ||
      // Before anything is allocated: a body is never longer than its plain text.
      bodyBytes > plainBytes
    )
      this.#fail(`the head of frame ${frameNumber} is wrong`);
    const sealed = await this.#take(bodyBytes + tagBytes);
    this.#pass(sealed);
    return { key, header: this.#header, frameNumber, frameHead: head, plainBytes, sealed };
  }

  async end(sha256: string | undefined): Promise<void> {
    const computed = this.#hash.copy().digest();
    const stored = await this.#take(digestBytes);
    this.#pass(stored);
    if (this.#isHashed && !stored.equals(computed)) this.#fail('its digest is wrong');
    if (this.#isHashed && sha256 !== undefined && this.#hash.digest('hex') !== sha256)
      this.#fail('it is not the object that the manifest names');
    if (this.#held.byteLength > 0 || !(await this.#next().then((chunk) => chunk === undefined)))
      this.#fail('there is something behind its end');
    if (this.#expectedBytes !== undefined && this.#expectedBytes !== this.#readBytes)
      this.#fail('it is not as long as the manifest says');
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #pass(bytes: Uint8Array): void {
    if (this.#isHashed) this.#hash.update(bytes);
  }

  async #take(count: number): Promise<Buffer> {
    if (this.#held.byteLength < count) {
      const pieces = this.#held.byteLength === 0 ? [] : [this.#held];
      for (let have = this.#held.byteLength; have < count; ) {
        const chunk = await this.#next();
        if (!chunk) return this.#fail('it is cut off');
        pieces.push(chunk);
        have += chunk.byteLength;
      }
      // What came in one piece is taken apart where it is.
      this.#held = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    }
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    this.#readBytes += count;
    return taken;
  }

  /** Passes empty chunks over; an error of the source is the source's (a broken connection), not corruption. */
  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const { done, value } = await this.#source.next();
      if (done) return undefined;
      if (value.byteLength > 0) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
  }

  #fail(why: string): never {
    throw corruptSegment(why, this.#facts);
  }
}

export function isCorruptSegment(error: unknown): boolean {
  return error instanceof LeewardError && error.code === 'CorruptSegment';
}
