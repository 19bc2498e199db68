/**
 * The simulation's randomness. Everything that happens by chance in a simulated world comes from one seed.
 *
 * Algorithm: sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, 128 bits of state, passes PractRand), seeded
 * with four words from splitmix32 over a hash (FNV-1a, 32 bits) of the seed's text, first 16 outputs thrown away.
 * `fork(label)` makes a generator of its own from `seed/label`: every part of the world draws from its own stream, so that
 * one more draw in one place does not change what happens in all the others. Not for secrets: that is the point.
 */
import { strict as assert } from 'node:assert';
import type { Random } from '../../../src/platform/random.ts';

export class SeededRandom implements Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#seed = seed;
    let state = fnv1a(seed);
    const word = () => {
      state = (state + 0x9e37_79b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0_aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a_2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = word();
    this.#b = word();
    this.#c = word();
    for (let round = 0; round < 16; round++) this.word();
  }

  /** A stream of its own, which depends on this one's seed and the label only. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.#seed}/${label}`);
  }

  /** 32 random bits. */
  word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  fraction(): number {
    return this.word() / 0x1_0000_0000;
  }

  bytes(count: number): Buffer {
    const result = Buffer.alloc(count);
    for (let index = 0; index < count; index++) result[index] = this.word() & 0xff;
    return result;
  }

  uuid(): string {
    const bytes = this.bytes(16);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }

  /** A whole number, both ends included. */
  between(low: number, high: number): number {
    assert(Number.isSafeInteger(low) && Number.isSafeInteger(high) && low <= high);
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  /** A number of milliseconds or the like, evenly. */
  range(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  choose<T>(from: readonly T[]): T {
    assert(from.length > 0);
    return from[Math.floor(this.fraction() * from.length)]!;
  }

  /** A key of `weights`, each as likely as its weight; weights of 0 never. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries<number>(weights) as [K, number][];
    let left = this.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return entries.findLast(([, weight]) => weight > 0)![0];
  }
}

function fnv1a(text: string): number {
  let hash = 0x811c_9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash | 0;
}
