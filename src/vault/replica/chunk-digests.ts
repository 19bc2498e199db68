/**
 * What a resync asks of a stretch of a replica disk, from one reading of it: a digest of each 64 KiB chunk for the sender,
 * and, since the bytes pass by anyway, the sum of each block for `verify` (`sums.ts`). Pure: called in worker threads in the
 * daemon, inline in tests and the simulation.
 */
import { hash } from 'node:crypto';
import { blockBytes } from '../../disk/disk.ts';
import { digestBytes, digestChunkBytes } from '../../protocol/replication/messages.ts';
import { sumOf } from './sums.ts';

export interface ChunkDigests {
  /** `digestBytes` for each chunk. */
  readonly digests: Uint8Array;
  /** One for each block; a short last block counts as filled up with zeroes. */
  readonly sums: Uint32Array;
}

/** Reads a stretch of a file itself and digests it, somewhere else than in this thread. */
export interface Digester {
  /** Stretches worth having under way at once. */
  readonly concurrency: number;
  digest(stretch: DigestStretch): Promise<ChunkDigests>;
}

export interface DigestStretch {
  readonly path: string;
  /** A multiple of the chunk. */
  readonly offsetBytes: number;
  /** At most `digestStretchBytes`; what lies beyond the end of the file is zeroes. */
  readonly lengthBytes: number;
}

/** 4 MiB: one page of sums, 64 chunks; 2.5 ms of hashing, so that handing it over costs nothing. */
export const digestStretchBytes = 4 << 20;

const zeroChunk = Buffer.alloc(digestChunkBytes);
/** Most of most disks: comparing with zeroes is ten times as fast as hashing them. */
const zeroDigest = digestOf(zeroChunk);

/** @param bytes begins at a chunk of the disk */
export function digestChunks(bytes: Uint8Array): ChunkDigests {
  const chunks = Math.ceil(bytes.byteLength / digestChunkBytes);
  const digests = new Uint8Array(chunks * digestBytes);
  const sums = new Uint32Array(Math.ceil(bytes.byteLength / blockBytes));
  for (let chunk = 0; chunk < chunks; chunk++) {
    const start = chunk * digestChunkBytes;
    const piece = bytes.subarray(start, start + digestChunkBytes);
    const isWhole = piece.byteLength === digestChunkBytes;
    if (isWhole && zeroChunk.equals(piece)) {
      digests.set(zeroDigest, chunk * digestBytes);
      continue;
    }
    digests.set(digestOf(piece), chunk * digestBytes);
    for (let at = 0; at < piece.byteLength; at += blockBytes)
      sums[(start + at) / blockBytes] = sumOf(piece.subarray(at, at + blockBytes));
  }
  return { digests, sums };
}

function digestOf(chunk: Uint8Array): Buffer {
  return hash('sha256', chunk, 'buffer').subarray(0, digestBytes);
}
