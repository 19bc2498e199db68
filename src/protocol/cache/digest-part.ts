/**
 * The digests of one stretch of a replica disk: what the vault's log processor answers to a manifest's `digestRequest`,
 * and what the process server hands on to the sender as `digests` frames. The plain text of a digest object
 * (`sealObject` in `segment.ts`, under `digestKey`):
 *
 *     offset u64, length u64, then one 16-byte digest for each 64 KiB of the stretch (the last may cover less)
 */
import { digestBytes, digestChunkBytes } from '../replication/messages.ts';
import { corruptSegment } from './errors.ts';

export interface DigestPart {
  /** Of the disk; a multiple of the chunk. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly digests: Buffer;
}

const headBytes = 16;

export function encodeDigestPart(part: DigestPart): Buffer {
  const bytes = Buffer.alloc(headBytes + part.digests.byteLength);
  bytes.writeBigUInt64LE(BigInt(part.offsetBytes), 0);
  bytes.writeBigUInt64LE(BigInt(part.lengthBytes), 8);
  part.digests.copy(bytes, headBytes);
  check(part, 'a digest part');
  return bytes;
}

/** Throws `CorruptSegment`. */
export function decodeDigestPart(bytes: Buffer, key: string): DigestPart {
  if (bytes.byteLength < headBytes) throw corruptSegment('it is cut off', { key });
  const part = {
    offsetBytes: Number(bytes.readBigUInt64LE(0)),
    lengthBytes: Number(bytes.readBigUInt64LE(8)),
    digests: bytes.subarray(headBytes),
  };
  check(part, key);
  return part;
}

function check(part: DigestPart, key: string): void {
  const chunks = Math.ceil(part.lengthBytes / digestChunkBytes);
  if (part.offsetBytes % digestChunkBytes !== 0 || part.digests.byteLength !== chunks * digestBytes)
    throw corruptSegment('its digests do not cover its range', { key });
}
