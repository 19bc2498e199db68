/**
 * Digests of the other side that wait for the walk to come by. They arrive in order of offset, as far ahead as the
 * receiver likes; the link cannot be left unread for their sake, since acknowledgements come the same way. So the shelf is
 * bounded: beyond the limit digests are forgotten, and a chunk whose digest was forgotten counts as different. That is
 * never wrong, it only sends more.
 */
import { strict as assert } from 'node:assert';
import { digestBytes, digestChunkBytes } from '../../protocol/replication/messages.ts';

interface Part {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Undefined: forgotten. */
  readonly digests: Buffer | undefined;
}

export class DigestShelf {
  readonly #limitBytes: number;
  #parts: Part[] = [];
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  put(offsetBytes: number, lengthBytes: number, digests: Buffer): void {
    const last = this.#parts.at(-1);
    const isForgotten = this.#heldBytes + digests.byteLength > this.#limitBytes;
    if (isForgotten && last && !last.digests && last.offsetBytes + last.lengthBytes === offsetBytes)
      this.#parts[this.#parts.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
    else this.#parts.push({ offsetBytes, lengthBytes, digests: isForgotten ? undefined : digests });
    if (!isForgotten) this.#heldBytes += digests.byteLength;
  }

  /** Up to where, from `fromBytes` on without a gap, digests have come. Lets go of what lies before. */
  coveredTo(fromBytes: number): number {
    while (this.#parts[0] && this.#parts[0].offsetBytes + this.#parts[0].lengthBytes <= fromBytes)
      this.#heldBytes -= this.#parts.shift()!.digests?.byteLength ?? 0;
    let end = fromBytes;
    for (const part of this.#parts) {
      if (part.offsetBytes > end) break;
      end = Math.max(end, part.offsetBytes + part.lengthBytes);
    }
    return end;
  }

  /** The digest of the chunk at `offsetBytes`; undefined when it never came or was forgotten. */
  at(offsetBytes: number): Buffer | undefined {
    assert.equal(offsetBytes % digestChunkBytes, 0);
    const part = this.#parts.find(
      (each) => each.offsetBytes <= offsetBytes && offsetBytes < each.offsetBytes + each.lengthBytes,
    );
    if (!part?.digests) return undefined;
    const index = (offsetBytes - part.offsetBytes) / digestChunkBytes;
    return part.digests.subarray(index * digestBytes, (index + 1) * digestBytes);
  }
}
