/**
 * The road from a process server to the vault's cache storage, in place of HTTPS: each request may find nobody there, be
 * cut on its way there (the vault sees half a body) or on its way back (it was done and nobody learns), or be damaged.
 * It also looks into every object that passes: plain data may never leave the process server.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { LeewardError } from '../../src/platform/errors.ts';
import type { CacheObject, CacheStore, ObjectBody } from '../../src/protocol/cache/cache-store.ts';
import { type Life, never, type Timeline } from '../support/simulated/clock.ts';
import type { SeededRandom } from '../support/simulated/random.ts';
import { plainPattern } from './machine.ts';

export interface CacheRoadEnd {
  /** The vault's store and the life of the process that serves it; undefined: it is down. */
  at(): { readonly store: CacheStore; readonly life: Life } | undefined;
}

/** What may happen on the road; shared by all requests of a world. */
export interface CacheRoadFaults {
  isClosed: boolean;
  lossChance: number;
  flipChance: number;
}

function unreachable(why: string): LeewardError {
  return new LeewardError({
    code: 'CacheStoreUnreachable',
    summary: `cache storage cannot be reached: ${why}`,
    possibleCauses: 'Simulated.',
    recommendedAction: 'Nothing.',
    retry: 'transient',
  });
}

export class CacheRoad implements CacheStore {
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #life: Life;
  readonly #end: CacheRoadEnd;
  readonly #faults: CacheRoadFaults;
  readonly #report: (failure: string) => void;

  constructor(parts: {
    readonly timeline: Timeline;
    readonly random: SeededRandom;
    readonly life: Life;
    readonly end: CacheRoadEnd;
    readonly faults: CacheRoadFaults;
    readonly report: (failure: string) => void;
  }) {
    this.#timeline = parts.timeline;
    this.#random = parts.random;
    this.#life = parts.life;
    this.#end = parts.end;
    this.#faults = parts.faults;
    this.#report = parts.report;
  }

  async put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'> {
    const content = await wholeOf(body.open(), signal);
    const sha256 = createHash('sha256').update(content).digest('hex');
    if (content.byteLength !== body.sizeBytes || sha256 !== body.sha256)
      this.#report(`the body of ${key} is not what it is announced to be`);
    if (content.includes(plainPattern)) this.#report(`plain data in the object ${key}`);
    const damaged = this.#damaged(content);
    const isCutThere = this.#random.chance(this.#faults.lossChance);
    return this.#ask(signal, (store) =>
      store.put(
        key,
        { sizeBytes: body.sizeBytes, sha256: body.sha256, open: () => this.#arriving(damaged, isCutThere) },
        new AbortController().signal,
      ),
    );
  }

  async get(key: string, signal: AbortSignal): Promise<Readable | undefined> {
    const content = await this.#ask(signal, async (store) => {
      const stream = await store.get(key, new AbortController().signal);
      return stream && wholeOf(stream, new AbortController().signal);
    });
    return content && Readable.from([this.#damaged(content)], { objectMode: false });
  }

  list(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<CacheObject[]> {
    return this.#ask(signal, (store) => store.list(prefix, options, new AbortController().signal));
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#ask(signal, (store) => store.delete(key, new AbortController().signal));
  }

  async #ask<T>(signal: AbortSignal, request: (store: CacheStore) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    await this.#wait();
    const end = this.#end.at();
    if (!end || this.#faults.isClosed || this.#random.chance(this.#faults.lossChance))
      throw unreachable('nobody answers');
    return new Promise<T>((resolve, reject) => {
      // The answer, like the hang-up of a vault that dies, comes as something that happens later.
      const later = (action: () => void) =>
        this.#timeline.after(this.#random.range(0.1, 20), action, this.#life);
      signal.addEventListener('abort', () => !this.#life.hasEnded && reject(signal.reason as Error), {
        once: true,
      });
      end.life.onEnd(() => later(() => reject(unreachable('it hung up'))));
      request(end.store).then(
        (result) =>
          later(() => {
            if (this.#random.chance(this.#faults.lossChance)) reject(unreachable('the answer was lost'));
            else resolve(result);
          }),
        (error: Error) => later(() => reject(error)),
      );
    });
  }

  #arriving(content: Buffer, isCut: boolean): Readable {
    const half = content.subarray(0, isCut ? Math.floor(content.byteLength / 2) : content.byteLength);
    const pieces = [half.subarray(0, half.byteLength >> 1), half.subarray(half.byteLength >> 1)];
    return new Readable({
      read() {
        const next = pieces.shift();
        if (next && next.byteLength > 0) this.push(next);
        else if (pieces.length > 0) this.read();
        else if (isCut) this.destroy(unreachable('the body was cut'));
        else this.push(null);
      },
    });
  }

  #damaged(content: Buffer): Buffer {
    if (content.byteLength === 0 || !this.#random.chance(this.#faults.flipChance)) return content;
    const copy = Buffer.from(content);
    copy[this.#random.between(0, copy.byteLength - 1)]! ^= 1 << this.#random.between(0, 7);
    return copy;
  }

  #wait(): Promise<void> {
    if (this.#life.hasEnded) return never();
    return new Promise((resolve) => {
      this.#timeline.after(this.#random.range(0.1, 20), resolve, this.#life);
    });
  }
}

async function wholeOf(stream: Readable, signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
