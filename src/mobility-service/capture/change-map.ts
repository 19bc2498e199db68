/**
 * The change map of one disk: which 4 KiB blocks "may differ from what the process server has durably". A tree whose nodes
 * stand for 8 MiB of the disk at the lowest level (0) and for sixteen times as much at each level above:
 *
 *     a node is    nothing marked │ all of it marked │ sixteen nodes of the level below │ a bitmap of 2,048 granules
 *     granule      4 KiB at level 0, 64 KiB at level 1, 1 MiB at level 2, … 64 GiB at level 6, which has 128 TiB
 *
 * What is wholly marked costs nothing, however long it is: a trimmed disk is one word. What is mixed costs 256 bytes for
 * 8 MiB. All maps share one memory with a limit (`map-memory.ts`). When it is used up, sixteen nodes become one bitmap of
 * the level above, whose bits say "something in here": a coarse map marks more than was written, never less, and reads what
 * it need not. A map that was taken and drained is cleared; the next one begins exact.
 *
 * Promises: what was marked stays marked until the map is cleared; as long as the memory suffices nothing else is.
 */
import { strict as assert } from 'node:assert';
import { blockBytes } from '../../disk/disk.ts';
import {
  bitmapWords,
  costClasses,
  innerChildren,
  type MapMemory,
  type MapTenant,
  type Piece,
  sharedMapMemory,
} from './map-memory.ts';

export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A map that nobody cleared gives its memory back when it is collected. */
const forgotten = new FinalizationRegistry<Tree>((tree) => tree.clear());

export class ChangeMap {
  readonly sizeBytes: number;
  readonly #tree: Tree;

  constructor(sizeBytes: number, memory: MapMemory = sharedMapMemory) {
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes > 0);
    this.sizeBytes = sizeBytes;
    this.#tree = new Tree(Math.ceil(sizeBytes / blockBytes), memory);
    forgotten.register(this, this.#tree);
  }

  /** Of marked blocks, each counted whole; where the map is coarse, of what would be read. */
  get markedBytes(): number {
    return this.#tree.markedBlocks * blockBytes;
  }

  get isEmpty(): boolean {
    return this.#tree.markedBlocks === 0;
  }

  /** What it takes of the maps' memory: bitmaps and inner nodes. */
  get pieces(): number {
    return this.#tree.pieces;
  }

  /** Marks every block that the range touches. What lies beyond the end of the disk is not marked. */
  mark(offsetBytes: number, lengthBytes: number): void {
    if (lengthBytes <= 0 || offsetBytes >= this.sizeBytes) return;
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes);
    if (end <= 0) return;
    this.#tree.mark(
      offsetBytes <= 0 ? 0 : Math.floor(offsetBytes / blockBytes),
      Math.floor((end - 1) / blockBytes),
    );
  }

  /** Marks everything that `other` has. */
  merge(other: ChangeMap): void {
    assert(other.sizeBytes === this.sizeBytes);
    this.#tree.merge(other.#tree);
  }

  /** Nothing is marked any more, and the memory is free for other maps. */
  clear(): void {
    this.#tree.clear();
  }

  has(offsetBytes: number): boolean {
    return this.#tree.has(Math.floor(offsetBytes / blockBytes));
  }

  /** The marked extents in order of offset, neighbours joined up to `lengthBytesMax`, the last one cut at the disk's end. */
  *extents(lengthBytesMax: number): Generator<Extent> {
    const blocksMax = Math.max(1, Math.ceil(lengthBytesMax / blockBytes));
    const place = new Place();
    // A copy: between two extents others may mark, and the place may become coarser.
    const bits = new Int32Array(bitmapWords);
    let start = -1;
    let end = -1;
    for (let at = 0; this.#tree.seek(at, place); at = place.end) {
      if (!place.isFull) this.#tree.copyBitmap(place, bits);
      if (start >= 0 && place.first > end) {
        yield* this.#cut(start, end, blocksMax);
        start = -1;
      }
      if (place.isFull) {
        if (start < 0) start = place.first;
        end = place.end;
        continue;
      }
      const granule = granuleBlocks[place.level]!;
      const base = place.index * nodeBits * granule;
      for (let bit = Math.floor((place.first - base) / granule); bit < nodeBits; ) {
        const from = nextBit(bits, bit, 0);
        if (from === nodeBits) break;
        const to = nextBit(bits, from, -1);
        const first = Math.max(place.first, base + from * granule);
        if (start >= 0 && first > end) {
          // The usual, short run does without the cost of a second generator.
          if (end - start <= blocksMax) yield this.#extent(start, end);
          else yield* this.#cut(start, end, blocksMax);
          start = -1;
        }
        if (start < 0) start = first;
        end = base + to * granule;
        bit = to;
      }
    }
    if (start >= 0) yield* this.#cut(start, end, blocksMax);
  }

  *#cut(start: number, end: number, blocksMax: number): Generator<Extent> {
    for (let block = start; block < end; block += blocksMax)
      yield this.#extent(block, Math.min(block + blocksMax, end));
  }

  #extent(start: number, end: number): Extent {
    const offsetBytes = start * blockBytes;
    return { offsetBytes, lengthBytes: Math.min(end * blockBytes, this.sizeBytes) - offsetBytes };
  }
}

const nodeBits = bitmapWords * 32;
/** Bits of a bitmap that stand for one node of the level below. */
const childBits = nodeBits / innerChildren;
/** 2^53 bytes are 2^41 blocks: a root of level 8 has them all. */
const levels = 9;
const granuleBlocks = Array.from({ length: levels }, (_, level) => innerChildren ** level);
const nodeBlocks = granuleBlocks.map((blocks) => blocks * nodeBits);

/** What a node is: nothing marked, all marked, an inner node (from 1 on), or a bitmap (from -2 down). */
const empty = 0;
const full = -1;
const isInner = (node: number) => node > 0;
const isBitmap = (node: number) => node < full;
/** Its piece of the memory; both ways. */
const innerPiece = (node: number) => node - 1;
const innerNode = (piece: number) => piece + 1;
const bitmapPiece = (node: number) => -2 - node;

/** Where a search came to: a bitmap, or a range that is all marked, from `first` up to `end`. */
class Place {
  level = 0;
  index = 0;
  node = empty;
  first = 0;
  end = 0;
  get isFull(): boolean {
    return this.node === full;
  }
}

/** For one merge or one coarsening at a time. */
const scratch = new Int32Array(bitmapWords);
const mergePlace = new Place();

class Tree implements MapTenant {
  readonly #memory: MapMemory;
  readonly #blocks: number;
  readonly #rootLevel: number;
  #root = empty;
  #pieces = 0;
  markedBlocks = 0;

  constructor(blocks: number, memory: MapMemory) {
    this.#blocks = blocks;
    this.#memory = memory;
    this.#rootLevel = nodeBlocks.findIndex((each) => each >= blocks);
  }

  get pieces(): number {
    return this.#pieces;
  }

  mark(first: number, last: number): void {
    this.#memory.makeRoom();
    if (this.#root === empty) this.#memory.tenants.add(this);
    const leaf = Math.floor(first / nodeBits);
    if (last >= (leaf + 1) * nodeBits || !this.#markInBitmap(leaf, first, last))
      this.#root = this.#markNode(this.#root, this.#rootLevel, 0, first, last);
  }

  /** The usual, small mark where a bitmap is already; false: it needs more than that. */
  #markInBitmap(leaf: number, first: number, last: number): boolean {
    const { inner, bitmaps, counts } = this.#memory;
    let node = this.#root;
    let level = this.#rootLevel;
    for (; isInner(node); level--)
      node = inner.words[innerPiece(node) * innerChildren + ((leaf >>> (4 * level - 4)) & 15)]!;
    if (node === full) return true;
    if (node === empty) return false;
    const granule = granuleBlocks[level]!;
    const bit = Math.floor(first / granule) % nodeBits;
    const count = Math.floor(last / granule) - Math.floor(first / granule) + 1;
    if ((bit & 31) + count > 32) return false;
    const piece = bitmapPiece(node);
    const word = piece * bitmapWords + (bit >>> 5);
    const mask = count === 32 ? -1 : ((1 << count) - 1) << (bit & 31);
    const had = bitmaps.words[word]!;
    const added = mask & ~had;
    if (added === 0) return true;
    // What becomes full, and the granule that the disk's end cuts, is the longer way's.
    if (counts[piece]! + count >= nodeBits || last + granule >= this.#blocks) return false;
    const addedCount = popCount(added);
    bitmaps.words[word] = had | mask;
    counts[piece]! += addedCount;
    this.markedBlocks += addedCount * granule;
    return true;
  }

  /** Marks what of the node lies between; answers what the node is now. */
  #markNode(node: number, level: number, index: number, first: number, last: number): number {
    if (node === full) return full;
    const start = index * nodeBlocks[level]!;
    const end = Math.min(this.#blocks, start + nodeBlocks[level]!);
    if (first <= start && last >= end - 1) {
      this.markedBlocks += end - start - this.#release(node, level, index);
      return full;
    }
    if (isBitmap(node)) return this.#set(node, level, index, first, last);
    if (level === 0) return this.#set(this.#newBitmap(), level, index, first, last);
    const inner = node === empty ? this.#newInner() : node;
    const below = nodeBlocks[level - 1]!;
    const from = Math.max(0, Math.floor((first - start) / below));
    const to = Math.min(innerChildren - 1, Math.floor((last - start) / below));
    let hasFull = false;
    for (let child = from; child <= to; child++) {
      const at = innerPiece(inner) * innerChildren + child;
      const after = this.#markNode(
        this.#memory.inner.words[at]!,
        level - 1,
        index * innerChildren + child,
        first,
        last,
      );
      // Looked at anew: the memory may have grown meanwhile.
      this.#memory.inner.words[at] = after;
      hasFull ||= after === full;
    }
    return hasFull ? this.#unlessFull(inner, level, index) : inner;
  }

  /** An inner node all of whose nodes are full is full. */
  #unlessFull(inner: number, level: number, index: number): number {
    const { words } = this.#memory.inner;
    const left = this.#blocks - index * nodeBlocks[level]!;
    const count = Math.min(innerChildren, Math.ceil(left / nodeBlocks[level - 1]!));
    const at = innerPiece(inner) * innerChildren;
    for (let child = 0; child < count; child++) if (words[at + child] !== full) return inner;
    this.#giveInner(inner);
    return full;
  }

  /** Sets the bits of a bitmap that the blocks lie in; a full bitmap is not kept. */
  #set(node: number, level: number, index: number, first: number, last: number): number {
    const { bitmaps, counts } = this.#memory;
    const granule = granuleBlocks[level]!;
    const firstBit = index * nodeBits;
    const from = Math.max(0, Math.floor(first / granule) - firstBit);
    const to = Math.min(nodeBits - 1, Math.floor(last / granule) - firstBit);
    const piece = bitmapPiece(node);
    const before = this.#blocksOf(piece, level, index);
    counts[piece]! += setBits(bitmaps.words, piece * bitmapWords, from, to);
    this.markedBlocks += this.#blocksOf(piece, level, index) - before;
    return this.#unlessFullBitmap(node, level, index);
  }

  #unlessFullBitmap(node: number, level: number, index: number): number {
    if (this.#memory.counts[bitmapPiece(node)]! < this.#bitsOf(level, index)) return node;
    this.#giveBitmap(node);
    return full;
  }

  /** Granules of the node that begin before the disk's end. */
  #bitsOf(level: number, index: number): number {
    return Math.min(nodeBits, Math.ceil(this.#blocks / granuleBlocks[level]!) - index * nodeBits);
  }

  /** Blocks that a bitmap marks. */
  #blocksOf(piece: number, level: number, index: number): number {
    const { bitmaps, counts } = this.#memory;
    const marked = counts[piece]! * granuleBlocks[level]!;
    const lastBit = this.#bitsOf(level, index) - 1;
    const end = (index * nodeBits + lastBit + 1) * granuleBlocks[level]!;
    if (end <= this.#blocks) return marked;
    const isLastSet = (bitmaps.words[piece * bitmapWords + (lastBit >>> 5)]! >>> (lastBit & 31)) & 1;
    return marked - isLastSet * (end - this.#blocks);
  }

  /** Gives back all of the node; answers how many blocks it had marked. */
  #release(node: number, level: number, index: number): number {
    if (node === empty) return 0;
    if (node === full)
      return Math.min(this.#blocks, (index + 1) * nodeBlocks[level]!) - index * nodeBlocks[level]!;
    if (isBitmap(node)) {
      const marked = this.#blocksOf(bitmapPiece(node), level, index);
      this.#giveBitmap(node);
      return marked;
    }
    let marked = 0;
    for (let child = 0; child < innerChildren; child++)
      marked += this.#release(
        this.#memory.inner.words[innerPiece(node) * innerChildren + child]!,
        level - 1,
        index * innerChildren + child,
      );
    this.#giveInner(node);
    return marked;
  }

  clear(): void {
    this.#release(this.#root, this.#rootLevel, 0);
    this.#root = empty;
    this.markedBlocks = 0;
    this.#memory.tenants.delete(this);
  }

  surrender(): void {
    this.clear();
    this.#root = full;
    this.markedBlocks = this.#blocks;
  }

  has(block: number): boolean {
    if (!this.seek(block, mergePlace) || mergePlace.first > block) return false;
    if (mergePlace.isFull) return true;
    const bit = Math.floor(block / granuleBlocks[mergePlace.level]!) % nodeBits;
    const { words } = this.#memory.bitmaps;
    return ((words[bitmapPiece(mergePlace.node) * bitmapWords + (bit >>> 5)]! >>> (bit & 31)) & 1) === 1;
  }

  /** The first bitmap or full node that ends behind this block; false: there is none. */
  seek(block: number, place: Place): boolean {
    const { words } = this.#memory.inner;
    for (let at = block; at < this.#blocks; ) {
      let node = this.#root;
      let level = this.#rootLevel;
      while (isInner(node)) {
        const child = Math.floor(at / nodeBlocks[--level]!) % innerChildren;
        node = words[innerPiece(node) * innerChildren + child]!;
      }
      const index = Math.floor(at / nodeBlocks[level]!);
      const end = Math.min(this.#blocks, (index + 1) * nodeBlocks[level]!);
      if (node === empty) {
        at = end;
        continue;
      }
      place.level = level;
      place.index = index;
      place.node = node;
      place.first = at;
      place.end = end;
      return true;
    }
    return false;
  }

  copyBitmap({ node }: Place, target: Int32Array): void {
    const at = bitmapPiece(node) * bitmapWords;
    target.set(this.#memory.bitmaps.words.subarray(at, at + bitmapWords));
  }

  merge(other: Tree): void {
    const place = mergePlace;
    for (let at = 0; ; at = place.end) {
      // First, since it may make either of the two coarser.
      this.#memory.makeRoom();
      if (!other.seek(at, place)) return;
      if (this.#root === empty) this.#memory.tenants.add(this);
      const { level, index, first, end } = place;
      if (place.isFull) {
        this.#root = this.#markNode(this.#root, this.#rootLevel, 0, first, end - 1);
        continue;
      }
      const theirs = new Int32Array(bitmapWords);
      other.copyBitmap(place, theirs);
      if (this.#isFiner(level, index)) this.#markRuns(theirs, level, index);
      else this.#root = this.#or(this.#root, this.#rootLevel, 0, theirs, level, index);
      place.end = end;
    }
  }

  /** Whether at this place there are nodes of lower levels. */
  #isFiner(level: number, index: number): boolean {
    const { words } = this.#memory.inner;
    let node = this.#root;
    for (let at = this.#rootLevel; isInner(node) && at > level; at--)
      node =
        words[
          innerPiece(node) * innerChildren +
            (Math.floor(index / innerChildren ** (at - 1 - level)) % innerChildren)
        ]!;
    return isInner(node);
  }

  #markRuns(theirs: Int32Array, level: number, index: number): void {
    const granule = granuleBlocks[level]!;
    const base = index * nodeBits * granule;
    for (let bit = 0; bit < nodeBits; ) {
      const from = nextBit(theirs, bit, 0);
      if (from === nodeBits) return;
      bit = nextBit(theirs, from, -1);
      this.mark(base + from * granule, Math.min(this.#blocks, base + bit * granule) - 1);
    }
  }

  #or(node: number, level: number, index: number, theirs: Int32Array, at: number, place: number): number {
    if (node === full) return full;
    if (level === at || isBitmap(node)) {
      const ours = node === empty ? this.#newBitmap() : node;
      const piece = bitmapPiece(ours);
      const before = this.#blocksOf(piece, level, index);
      if (level === at) this.#memory.counts[piece]! += orBits(this.#memory.bitmaps.words, piece, theirs);
      else {
        const granule = granuleBlocks[level]!;
        const base = place * nodeBlocks[at]!;
        for (let bit = 0; bit < nodeBits; ) {
          const from = nextBit(theirs, bit, 0);
          if (from === nodeBits) break;
          bit = nextBit(theirs, from, -1);
          const last = Math.min(this.#blocks, base + bit * granuleBlocks[at]!) - 1;
          this.#memory.counts[piece]! += setBits(
            this.#memory.bitmaps.words,
            piece * bitmapWords,
            Math.floor((base + from * granuleBlocks[at]!) / granule) - index * nodeBits,
            Math.floor(last / granule) - index * nodeBits,
          );
        }
      }
      this.markedBlocks += this.#blocksOf(piece, level, index) - before;
      return this.#unlessFullBitmap(ours, level, index);
    }
    const inner = node === empty ? this.#newInner() : node;
    const child = Math.floor(place / innerChildren ** (level - 1 - at)) % innerChildren;
    const slot = innerPiece(inner) * innerChildren + child;
    const below = this.#memory.inner.words[slot]!;
    const after = this.#or(below, level - 1, index * innerChildren + child, theirs, at, place);
    this.#memory.inner.words[slot] = after;
    return after === full ? this.#unlessFull(inner, level, index) : inner;
  }

  weigh(kind: Piece, freed: Float64Array): void {
    this.#weighNode(this.#root, this.#rootLevel, 0, kind, (cost, gain) => {
      freed[cost]! += Math.max(0, gain);
      return false;
    });
  }

  coarsen(kind: Piece, costMax: number, isEnough: () => boolean): void {
    this.#root = this.#weighNode(
      this.#root,
      this.#rootLevel,
      0,
      kind,
      (cost) => cost <= costMax && !isEnough(),
    );
  }

  /** Asks of every inner node that has none below it whether it becomes one bitmap; answers what the node is then. */
  #weighNode(
    node: number,
    level: number,
    index: number,
    kind: Piece,
    isChosen: (cost: number, gain: number) => boolean,
  ): number {
    if (!isInner(node)) return node;
    const { inner } = this.#memory;
    const at = innerPiece(node) * innerChildren;
    let isLowest = true;
    let hasFull = false;
    let bitmaps = 0;
    for (let child = 0; child < innerChildren; child++) {
      const before = inner.words[at + child]!;
      if (isInner(before)) isLowest = false;
      const after = this.#weighNode(before, level - 1, index * innerChildren + child, kind, isChosen);
      inner.words[at + child] = after;
      if (isBitmap(after)) bitmaps++;
      hasFull ||= after === full;
    }
    if (!isLowest) return hasFull ? this.#unlessFull(node, level, index) : node;
    const { marked, count } = this.#paint(node, level, index);
    const { free } = this.#memory.bitmaps;
    // Without a bitmap below it one more is needed.
    const gain = kind === 'bitmap' || (bitmaps === 0 && free <= innerChildren) ? bitmaps - 1 : 1;
    const added = Math.max(0, count * granuleBlocks[level]! - marked);
    const cost =
      gain <= 0 ? costClasses - 1 : Math.min(costClasses - 1, Math.ceil(Math.log2(1 + added / gain)));
    if (!isChosen(cost, gain)) return node;
    this.markedBlocks -= this.#release(node, level, index);
    if (this.#memory.bitmaps.free === 0) {
      this.markedBlocks += this.#release(full, level, index);
      return full;
    }
    const coarse = this.#newBitmap();
    const piece = bitmapPiece(coarse);
    this.#memory.bitmaps.words.set(scratch, piece * bitmapWords);
    this.#memory.counts[piece] = count;
    this.markedBlocks += this.#blocksOf(piece, level, index);
    return this.#unlessFullBitmap(coarse, level, index);
  }

  /** Into `scratch`: the bitmap that an inner node with none below it would be. */
  #paint(node: number, level: number, index: number): { marked: number; count: number } {
    const { inner, bitmaps } = this.#memory;
    let marked = 0;
    scratch.fill(0);
    for (let child = 0; child < innerChildren; child++) {
      const below = inner.words[innerPiece(node) * innerChildren + child]!;
      const place = index * innerChildren + child;
      if (below === full) {
        marked += this.#release(full, level - 1, place);
        const end = Math.min((child + 1) * childBits, this.#bitsOf(level, index));
        setBits(scratch, 0, child * childBits, end - 1);
      } else if (isBitmap(below)) {
        const from = bitmapPiece(below) * bitmapWords;
        marked += this.#blocksOf(bitmapPiece(below), level - 1, place);
        for (let word = 0; word < bitmapWords; word++) {
          const bits = bitmaps.words[from + word]!;
          if (bits === 0) continue;
          // Sixteen bits become one.
          const pair = ((bits & 0xffff) === 0 ? 0 : 1) | (bits >>> 16 === 0 ? 0 : 2);
          scratch[(child * childBits) / 32 + (word >>> 4)]! |= pair << ((word & 15) * 2);
        }
      }
    }
    let count = 0;
    for (let word = 0; word < bitmapWords; word++) count += popCount(scratch[word]!);
    return { marked, count };
  }

  #newBitmap(): number {
    const piece = this.#memory.bitmaps.take();
    this.#memory.counts[piece] = 0;
    this.#pieces++;
    return -2 - piece;
  }
  #giveBitmap(node: number): void {
    this.#memory.bitmaps.give(bitmapPiece(node));
    this.#pieces--;
  }
  #newInner(): number {
    this.#pieces++;
    return innerNode(this.#memory.inner.take());
  }
  #giveInner(node: number): void {
    this.#memory.inner.give(innerPiece(node));
    this.#pieces--;
  }
}

/** The first bit from `from` on that differs from those of `same` (0 or -1). */
function nextBit(words: Int32Array, from: number, same: number): number {
  for (let bit = from; bit < nodeBits; bit = (bit | 31) + 1) {
    const rest = (words[bit >>> 5]! ^ same) >>> (bit & 31);
    if (rest !== 0) return bit + 31 - Math.clz32(rest & -rest);
  }
  return nodeBits;
}

/** Sets bits `from` to `to`; answers how many were not set. */
function setBits(words: Int32Array, at: number, from: number, to: number): number {
  let added = 0;
  for (let bit = from; bit <= to; bit = (bit | 31) + 1) {
    const count = Math.min(32 - (bit & 31), to - bit + 1);
    const mask = count === 32 ? -1 : ((1 << count) - 1) << (bit & 31);
    const word = at + (bit >>> 5);
    added += popCount(mask & ~words[word]!);
    words[word]! |= mask;
  }
  return added;
}

function orBits(words: Int32Array, piece: number, theirs: Int32Array): number {
  let added = 0;
  for (let word = 0; word < bitmapWords; word++) {
    const at = piece * bitmapWords + word;
    added += popCount(theirs[word]! & ~words[at]!);
    words[at]! |= theirs[word]!;
  }
  return added;
}

function popCount(word: number): number {
  let bits = word >>> 0;
  bits -= (bits >>> 1) & 0x5555_5555;
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return (((bits + (bits >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}
