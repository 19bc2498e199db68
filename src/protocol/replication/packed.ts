/** What a data frame stands for: its payload, or what it is packed from. The vault unpacks segments in worker threads instead;
 * this is for whoever needs the bytes of a single frame. */
import { zstdDecompressSync } from 'node:zlib';
import { corruptFrame, type Frame, FrameFlag } from './frame.ts';

/** Throws `CorruptFrame`. */
export function dataOf(frame: Frame): Uint8Array {
  return (frame.flags & FrameFlag.packed) === 0 ? frame.payload : unpack(frame.payload, frame.lengthBytes);
}

/** Throws `CorruptFrame` when it is not one zstd frame of so many bytes. Never allocates more than they need. */
export function unpack(payload: Uint8Array, plainBytes: number): Buffer {
  let plain: Buffer | undefined;
  try {
    plain = zstdDecompressSync(payload, {
      maxOutputLength: plainBytes,
      // In one piece; node:zlib takes no less than 64, and gets itself another piece when this one is full to the last byte.
      chunkSize: Math.max(4096, plainBytes + 1),
    });
  } catch (cause) {
    throw Object.assign(corruptFrame('what it packs cannot be unpacked'), { cause });
  }
  if (plain.byteLength === plainBytes) return plain;
  throw corruptFrame('what it packs has another length');
}
