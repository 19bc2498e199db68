/**
 * The change stream's frame: a fixed 64-byte header and a payload. One layout serves the wire and the process server's
 * spool, so that a frame is journalled exactly as it arrived. `docs/formats/replication.md` is the specification.
 *
 *      0        4    6    7    8          12         16        20       24          32          40           48       56   64
 *      ├─ magic ┼ ver┼type┼flag┼ headerCrc┼payloadCrc┼ payload ┼  disk  ┼ generation┼ sequence  ┼  offset    ┼ length ┼  0  ┤
 *      │ "LWR1" │ u16│ u8 │ u8 │   u32    │   u32    │ len u32 │idx u32 │    u64    │    u64    │   u64      │  u64   │ u64 │
 *
 * Little endian. `headerCrc` is CRC-32 of the header with that field zero: the header is trusted before the payload is
 * read. `length` is how much of the disk the frame covers. The payload of a `data` frame is that many bytes, or, with the
 * flag `packed`, a zstd frame of them: bytes are compressed once, at the machine they come from, and stay so until the
 * vault writes them to a replica disk.
 */
import { crc32 } from 'node:zlib';
import { LeewardError } from '../../platform/errors.ts';

export const headerBytes = 64;
/** 1 MiB extents plus nothing: larger payloads are a broken or hostile peer. Digest and JSON payloads are smaller. */
export const payloadBytesMax = 1 << 20;

/** Version 2: data may be packed. What version 1 wrote is read: a journal may be older than its reader. If a field or type changes, add a version with one sentence saying what changed. */
export const protocolVersion = 2;

/** Senders pack data of at least this much, where it gains 5 %: whoever passes it on need not try again. At 64 KiB zstd is
 * within 5 % of what it makes of a MiB; at 4 KiB it is a fifth worse and takes four times as long. */
export const packedBytesMin = 64 << 10;

export const FrameFlag = {
  /** Of `data`: the payload is one zstd frame of `length` bytes, at most `payloadBytesMax`, and shorter than they are. */
  packed: 1,
} as const;

export const FrameType = {
  /** Sender's offer: JSON `Hello`. The first frame of a connection. */
  hello: 1,
  /** Receiver's acceptance: JSON `Welcome`. */
  welcome: 2,
  /** Receiver's refusal: JSON `Refused`; the connection closes. */
  refused: 3,
  /** Bytes of a disk. */
  data: 4,
  /** A range of a disk that reads as zeroes; no payload. */
  zero: 5,
  /** JSON `Bookmark`: everything before it is the state of all disks at that moment. */
  bookmark: 6,
  /** Receiver: everything up to `sequence` is durable. */
  ack: 7,
  /** JSON `ResyncBegin`. */
  resyncBegin: 8,
  /** Receiver: digests of the other side from `offset` on, one per chunk, covering `length` bytes. */
  digests: 9,
  /** JSON `ResyncEnd`: the disk has been walked to its end; after everything before it, the copy can be trusted. */
  resyncEnd: 10,
  /** JSON `ResyncProgress`. */
  progress: 11,
  /** JSON `HealthEvent`. */
  health: 12,
  /** Either side, every `heartbeatMilliseconds`; no payload. */
  heartbeat: 13,
  /** Receiver: a newer session has taken over; JSON `Refused`. The sender must stop and not come back by itself. */
  fenced: 14,
  /** Receiver asks for something; JSON `Order`. */
  order: 15,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  /** Position in the `Hello`'s list of disks; 0 where no disk is meant. */
  readonly diskIndex: number;
  readonly generation: number;
  /** Counts the sender's journalled frames of one session from 1; 0 on frames that are not journalled. */
  readonly sequence: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly payload: Uint8Array;
  /** CRC-32 of the payload, where it is known: of frames that were read. Passed on as it came, it covers the payload from
   * the sender's memory to the journal, and is not computed anew on the way. */
  readonly payloadCrc?: number;
}

export interface FrameHeader extends Omit<Frame, 'payload' | 'payloadCrc'> {
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

const magic = 0x3152574c; // "LWR1"
const knownTypes = new Set<number>(Object.values(FrameType));
const nothing = new Uint8Array(0);

/** A frame with the fields that are not given set to nothing. */
export function frame(type: FrameType, fields: Partial<Omit<Frame, 'type'>> = {}): Frame {
  return {
    type,
    flags: 0,
    diskIndex: 0,
    generation: 0,
    sequence: 0,
    offsetBytes: 0,
    lengthBytes: 0,
    payload: nothing,
    ...fields,
  };
}

/** A frame whose payload is `value` as JSON. The caller parses it at the other side with the schema of `messages.ts`. */
export function jsonFrame(
  type: FrameType,
  value: unknown,
  fields: Partial<Omit<Frame, 'type' | 'payload'>> = {},
): Frame {
  return frame(type, { ...fields, payload: Buffer.from(JSON.stringify(value)) });
}

/** The 64 header bytes of `frame`; the payload goes after them unchanged, so it need not be copied. */
export function encodeHeader(frame: Frame): Buffer {
  if (frame.payload.byteLength > payloadBytesMax)
    throw new RangeError(`payload of ${frame.payload.byteLength} bytes, over ${payloadBytesMax}`);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt16LE(protocolVersion, 4);
  header.writeUInt8(frame.type, 6);
  header.writeUInt8(frame.flags, 7);
  header.writeUInt32LE(frame.payloadCrc ?? crc32(frame.payload), 12);
  header.writeUInt32LE(frame.payload.byteLength, 16);
  header.writeUInt32LE(frame.diskIndex, 20);
  header.writeBigUInt64LE(BigInt(frame.generation), 24);
  header.writeBigUInt64LE(BigInt(frame.sequence), 32);
  header.writeBigUInt64LE(BigInt(frame.offsetBytes), 40);
  header.writeBigUInt64LE(BigInt(frame.lengthBytes), 48);
  header.writeUInt32LE(crc32(header), 8);
  return header;
}

export function encodeFrame(frame: Frame): Buffer {
  return Buffer.concat([encodeHeader(frame), frame.payload]);
}

/** The bytes are not a frame, or were damaged on the way. The connection (or the journal from here on) is worthless. */
export function corruptFrame(why: string, context: Record<string, string | number> = {}): LeewardError {
  return new LeewardError({
    code: 'CorruptFrame',
    summary: `a frame of the change stream is damaged: ${why}`,
    possibleCauses: 'Bits flipped on the wire, in memory or on disk; or the peer is not a Leeward sender.',
    recommendedAction: 'Nothing: the connection is made anew and everything not acknowledged is sent again.',
    severity: 'warning',
    retry: 'transient',
    context,
  });
}

function safe(value: bigint, name: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corruptFrame(`${name} is out of range`);
  return Number(value);
}

/** Reads and verifies a header from the first 64 bytes of `bytes`. Throws `CorruptFrame`. */
export function decodeHeader(bytes: Buffer): FrameHeader {
  if (bytes.byteLength < headerBytes) throw corruptFrame('the header is cut off');
  if (bytes.readUInt32LE(0) !== magic) throw corruptFrame('the magic number is wrong');
  const sealed = Buffer.from(bytes.subarray(0, headerBytes));
  sealed.writeUInt32LE(0, 8);
  if (crc32(sealed) !== bytes.readUInt32LE(8)) throw corruptFrame('the header checksum is wrong');
  const version = bytes.readUInt16LE(4);
  if (version !== protocolVersion && version !== 1)
    throw corruptFrame(`version ${version} is not known`, { version });
  const type = bytes.readUInt8(6);
  if (!knownTypes.has(type)) throw corruptFrame(`type ${type} is not known`, { type });
  const payloadBytes = bytes.readUInt32LE(16);
  if (payloadBytes > payloadBytesMax) throw corruptFrame(`a payload of ${payloadBytes} bytes`);
  if (bytes.readBigUInt64LE(56) !== 0n) throw corruptFrame('reserved bytes are not zero');
  const lengthBytes = safe(bytes.readBigUInt64LE(48), 'length');
  const flags = bytes.readUInt8(7);
  const isPacked = flags === FrameFlag.packed && type === FrameType.data;
  if (flags !== 0 && !isPacked) throw corruptFrame(`flags ${flags} on a frame of type ${type}`);
  if (isPacked && (payloadBytes >= lengthBytes || lengthBytes > payloadBytesMax))
    throw corruptFrame('a packed frame that is longer than what it stands for');
  if (type === FrameType.data && !isPacked && lengthBytes !== payloadBytes)
    throw corruptFrame('a data frame whose length is not its payload');
  return {
    type: type as FrameType,
    flags,
    payloadCrc: bytes.readUInt32LE(12),
    payloadBytes,
    diskIndex: bytes.readUInt32LE(20),
    generation: safe(bytes.readBigUInt64LE(24), 'generation'),
    sequence: safe(bytes.readBigUInt64LE(32), 'sequence'),
    offsetBytes: safe(bytes.readBigUInt64LE(40), 'offset'),
    lengthBytes,
  };
}

/** Joins a header with its payload after checking the payload's checksum. Throws `CorruptFrame`. */
export function completeFrame(header: FrameHeader, payload: Uint8Array): Frame {
  if (crc32(payload) !== header.payloadCrc) throw corruptFrame('the payload checksum is wrong');
  const { payloadBytes: _, ...rest } = header;
  return { ...rest, payload };
}

/** Buffers of `payloadBytesMax` that no splitter uses just now. 16: what the sessions that receive at one moment need. */
const assemblies: Buffer[] = [];
const assembliesMax = 16;

/**
 * Cuts a byte stream into frames: `push` takes what arrived and answers the frames it completes. A payload is a view of
 * the pushed chunk where it lies in one chunk; one that came in several is put together, copied once, in a buffer that is
 * used again after the next `push`. Either way it is valid until then: a consumer that keeps one must copy it.
 */
export class FrameSplitter {
  readonly #headerBuffer = Buffer.alloc(headerBytes);
  /** Of the payload that is being put together. */
  #assembly: Buffer | undefined;
  /** Of the payload that the last push handed out. */
  #handedOut: Buffer | undefined;
  #header: FrameHeader | undefined;
  /** Of the header, or of the payload once the header is known. */
  #filledBytes = 0;

  /** One frame after the other, as far as they go: those before a damaged one are whole, and the journal counts on them. */
  *push(chunk: Buffer): Generator<Frame> {
    if (this.#handedOut && assemblies.length < assembliesMax) assemblies.push(this.#handedOut);
    this.#handedOut = undefined;
    let at = 0;
    for (;;) {
      if (!this.#header) {
        const taken = this.#gather(this.#headerBuffer, headerBytes, chunk, at);
        if (!taken.whole) break;
        at = taken.at;
        this.#header = decodeHeader(taken.whole);
      }
      const { payloadBytes } = this.#header;
      const isWithin = this.#filledBytes === 0 && chunk.byteLength - at >= payloadBytes;
      if (!isWithin) this.#assembly ??= assemblies.pop() ?? Buffer.allocUnsafeSlow(payloadBytesMax);
      const taken = this.#gather(this.#assembly, payloadBytes, chunk, at);
      if (!taken.whole) break;
      at = taken.at;
      // At most one payload of a push began in an earlier one. The next may begin in this one: in a buffer of its own.
      if (!isWithin) {
        this.#handedOut = this.#assembly;
        this.#assembly = undefined;
      }
      const arrived = completeFrame(this.#header, taken.whole);
      this.#header = undefined;
      yield arrived;
    }
  }

  /** True in the middle of a frame: an end of the stream here means that it was cut. */
  get isInsideFrame(): boolean {
    return this.#header !== undefined || this.#filledBytes > 0;
  }

  /** `count` bytes from earlier chunks and this one; `whole` is undefined until all of them are there. */
  #gather(
    room: Buffer | undefined,
    count: number,
    chunk: Buffer,
    at: number,
  ): { readonly whole?: Buffer; readonly at: number } {
    if (this.#filledBytes === 0 && chunk.byteLength - at >= count)
      return { whole: chunk.subarray(at, at + count), at: at + count };
    const used = chunk.copy(
      room!,
      this.#filledBytes,
      at,
      Math.min(chunk.byteLength, at + count - this.#filledBytes),
    );
    this.#filledBytes += used;
    if (this.#filledBytes < count) return { at: at + used };
    this.#filledBytes = 0;
    return { whole: room!.subarray(0, count), at: at + used };
  }
}
