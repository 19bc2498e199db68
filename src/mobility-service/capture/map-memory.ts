/**
 * The memory of change maps: two arrays of equal pieces, bitmaps and inner nodes, that all maps of the service share, so that
 * what the maps take together has a limit, whatever is written to how many disks. Memory grows as it is used and goes back
 * when no map has anything.
 *
 * When it is used up, places of maps become coarser: those first that mark the fewest bytes too many for each piece that
 * becomes free. An eighth of the pieces becomes free at once, so that the search, some milliseconds, is paid by thousands
 * of marks. In the end a disk needs one bitmap, and a map that does not even get that one marks its disk as a whole.
 */
import { mapBitmapsMax, mapInnerNodesMax } from '../limits.ts';

/** 2,048 bits. */
export const bitmapWords = 64;
export const innerChildren = 16;

export type Piece = 'bitmap' | 'inner';

/** Whoever has pieces. */
export interface MapTenant {
  readonly pieces: number;
  /** Adds to `freed`, by class of cost, how many pieces of this kind would become free. */
  weigh(kind: Piece, freed: Float64Array): void;
  /** Makes coarser what costs at most this, until `isEnough`. */
  coarsen(kind: Piece, costMax: number, isEnough: () => boolean): void;
  /** Marks the whole disk and gives everything back. */
  surrender(): void;
}

/** Costs are told apart by powers of two; the last class is what frees nothing by itself, but lets its neighbours. */
export const costClasses = 64;

/** A mark takes at most two bitmaps, and two ways down of eight inner nodes; to make a place coarser takes one bitmap. */
const reserve = { bitmap: 4, inner: 20 } as const;
const bytesMin = 16 << 10;

export class Slab {
  words: Int32Array<ArrayBuffer>;
  readonly countMax: number;
  readonly #pieceWords: number;
  #used = 0;
  #firstFree = -1;
  #taken = 0;

  constructor(pieceWords: number, countMax: number) {
    this.#pieceWords = pieceWords;
    this.countMax = countMax;
    this.words = new Int32Array(Math.min(countMax * pieceWords, bytesMin / 4));
  }

  get taken(): number {
    return this.#taken;
  }
  get free(): number {
    return this.countMax - this.#taken;
  }

  /** The number of a piece that is all zero. There must be one free. */
  take(): number {
    const words = this.#pieceWords;
    this.#taken++;
    if (this.#firstFree >= 0) {
      const piece = this.#firstFree;
      const at = piece * words;
      this.#firstFree = this.words[at]! - 1;
      this.words.fill(0, at, at + words);
      return piece;
    }
    const piece = this.#used++;
    if (this.#used * words > this.words.length)
      this.#resize(Math.min(this.countMax * words, this.words.length * 2));
    return piece;
  }

  give(piece: number): void {
    this.words[piece * this.#pieceWords] = this.#firstFree + 1;
    this.#firstFree = piece;
    if (--this.#taken > 0) return;
    this.#firstFree = -1;
    this.#used = 0;
    // What is taken next must be all zero.
    if (this.words.byteLength > bytesMin) this.#resize(0);
    if (this.words.length === 0) this.#resize(bytesMin / 4);
    else this.words.fill(0);
  }

  #resize(length: number): void {
    this.words = new Int32Array(this.words.buffer.transfer(length * 4));
  }
}

export class MapMemory {
  readonly bitmaps: Slab;
  readonly inner: Slab;
  /** How many bits of each bitmap are set. */
  readonly counts: Uint16Array;
  readonly tenants = new Set<MapTenant>();

  constructor(bitmapsMax = mapBitmapsMax, innerNodesMax = mapInnerNodesMax) {
    this.bitmaps = new Slab(bitmapWords, bitmapsMax);
    this.inner = new Slab(innerChildren, innerNodesMax);
    this.counts = new Uint16Array(bitmapsMax);
  }

  get takenBytes(): number {
    return 4 * (this.bitmaps.taken * bitmapWords + this.inner.taken * innerChildren);
  }

  /** Before anything is taken: there is room for one mark now. */
  makeRoom(): void {
    if (this.inner.free < reserve.inner) this.#coarsen('inner', this.inner);
    if (this.bitmaps.free < reserve.bitmap) this.#coarsen('bitmap', this.bitmaps);
  }

  #coarsen(kind: Piece, slab: Slab): void {
    const wanted = Math.max(2 * reserve[kind], slab.countMax >>> 3);
    const isEnough = (): boolean => slab.free >= wanted;
    const freed = new Float64Array(costClasses);
    // Each turn there are fewer inner nodes, or nothing can be done.
    for (let before = -1; !isEnough() && before !== this.inner.taken; ) {
      before = this.inner.taken;
      freed.fill(0);
      for (const tenant of this.tenants) tenant.weigh(kind, freed);
      let costMax = 0;
      for (let sum = freed[0]!; costMax < costClasses - 1 && sum < wanted - slab.free; sum += freed[costMax]!)
        costMax++;
      for (const tenant of this.tenants) if (!isEnough()) tenant.coarsen(kind, costMax, isEnough);
    }
    while (slab.free < reserve[kind] && this.tenants.size > 0)
      [...this.tenants].reduce((one, other) => (other.pieces > one.pieces ? other : one)).surrender();
  }
}

/** Of this process. */
export const sharedMapMemory = new MapMemory();
