/** What a segment has, opened in the calling thread: data and zero ranges, sorted. */
import {
  openFrame,
  placeSegment,
  type SegmentExpectations,
  type SegmentExtent,
} from '../../src/protocol/cache/segment.ts';

export interface SegmentPiece extends SegmentExtent {
  /** Empty for `zero`. */
  readonly bytes: Uint8Array;
}

/** Throws `CorruptSegment` as `placeSegment` does. */
export async function segmentPieces(
  source: AsyncIterable<Uint8Array>,
  itemKey: Uint8Array,
  expectations: SegmentExpectations,
): Promise<SegmentPiece[]> {
  const pieces: SegmentPiece[] = [];
  await placeSegment(
    source,
    itemKey,
    expectations,
    {
      frameConcurrency: 1,
      writeFrame: async (job, ranges) => {
        const plain = openFrame(job);
        let used = 0;
        for (const range of ranges) {
          const bytes = plain.subarray(used, used + range.lengthBytes);
          used += bytes.byteLength;
          pieces.push({ kind: 'data', ...range, bytes });
        }
      },
      zero: async (offsetBytes, lengthBytes) => {
        pieces.push({ kind: 'zero', offsetBytes, lengthBytes, bytes: new Uint8Array(0) });
      },
    },
    new AbortController().signal,
  );
  return pieces.sort((a, b) => a.offsetBytes - b.offsetBytes);
}
