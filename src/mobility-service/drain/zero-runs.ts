/** Cuts what was read into runs of zero blocks and runs of others, at the precision of a block. Zero runs travel as
 * ranges without bytes, so a freshly formatted or trimmed disk costs almost nothing. */
import { blockBytes, extentBytesMax } from '../../disk/disk.ts';

export interface Run {
  /** Within the bytes given. */
  readonly start: number;
  readonly end: number;
  readonly isZero: boolean;
}

const zeroes = Buffer.alloc(extentBytesMax);

/** memcmp against zeroes: 20 GB/s when it is zero, and it stops at the first byte that is not. */
export function isAllZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.byteLength; at += zeroes.byteLength) {
    const end = Math.min(at + zeroes.byteLength, bytes.byteLength);
    if (zeroes.compare(bytes, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}

/** The runs of `bytes` in order, together all of it. Neighbours differ in `isZero`. */
export function zeroRuns(bytes: Buffer): Run[] {
  const runs: Run[] = [];
  let start = 0;
  let isZero: boolean | undefined;
  for (let at = 0; at < bytes.byteLength; at += blockBytes) {
    const end = Math.min(at + blockBytes, bytes.byteLength);
    const isBlockZero = zeroes.compare(bytes, at, end, 0, end - at) === 0;
    if (isBlockZero === isZero) continue;
    if (isZero !== undefined) runs.push({ start, end: at, isZero });
    start = at;
    isZero = isBlockZero;
  }
  if (isZero !== undefined) runs.push({ start, end: bytes.byteLength, isZero });
  return runs;
}
