/**
 * Two ends of a link in memory, for the seeded simulation and for tests: it can be cut at any frame and delayed on an
 * injected clock. Like a socket it is bounded (a sender waits), ordered, and loses what was under way when it is cut.
 */
import { strict as assert } from 'node:assert';
import type { Clock } from '../../src/platform/clock.ts';
import { type Frame, FrameType } from '../../src/protocol/replication/frame.ts';
import { type Link, linkBroken, linkBufferBytesMax } from '../../src/protocol/replication/link.ts';

export type Direction = 'toReceiver' | 'toSender';

export interface MemoryLinkHooks {
  /** Called for each frame before it goes in; `cut` breaks the link instead (the frame is lost). */
  readonly onFrame?: (frame: Frame, direction: Direction) => 'pass' | 'cut';
  /** How long a frame is under way; needs a clock. */
  readonly delayMilliseconds?: (frame: Frame, direction: Direction) => number;
  readonly clock?: Clock;
  readonly bufferBytesMax?: number;
  readonly senderName?: string;
  readonly receiverName?: string;
}

export interface MemoryLinkPair {
  /** The mobility service's end. */
  readonly sender: Link;
  /** The process server's end. */
  readonly receiver: Link;
  /** Breaks both ends now; frames under way are lost. */
  cut(why?: string): void;
  readonly isCut: boolean;
}

class Pipe {
  readonly #queue: Frame[] = [];
  readonly #limitBytes: number;
  #heldBytes = 0;
  #state: { kind: 'open' } | { kind: 'ended' } | { kind: 'broken'; error: Error } = { kind: 'open' };
  #wake: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  async put(frame: Frame): Promise<void> {
    this.#assertOpen();
    // The payload's owner may reuse it as soon as this resolves; a socket copies too.
    const copy = { ...frame, payload: Buffer.from(frame.payload) };
    this.#queue.push(copy);
    this.#heldBytes += copy.payload.byteLength + 64;
    this.#notify();
    while (this.#heldBytes > this.#limitBytes && this.#state.kind === 'open') await this.#change();
    this.#assertOpen();
  }

  /** The next frame; undefined at a good end. */
  async get(): Promise<Frame | undefined> {
    for (;;) {
      if (this.#state.kind === 'broken') throw this.#state.error;
      const first = this.#queue.shift();
      if (first) {
        this.#heldBytes -= first.payload.byteLength + 64;
        this.#notify();
        return first;
      }
      if (this.#state.kind === 'ended') return undefined;
      await this.#change();
    }
  }

  end(): void {
    if (this.#state.kind === 'open') this.#state = { kind: 'ended' };
    this.#notify();
  }

  break(error: Error): void {
    if (this.#state.kind !== 'broken') this.#state = { kind: 'broken', error };
    this.#queue.length = 0;
    this.#notify();
  }

  #assertOpen(): void {
    if (this.#state.kind === 'broken') throw this.#state.error;
    if (this.#state.kind === 'ended') throw linkBroken('the peer', 'it is closed');
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }
}

export function memoryLinkPair(hooks: MemoryLinkHooks = {}): MemoryLinkPair {
  assert(!hooks.delayMilliseconds || hooks.clock, 'a delay needs a clock');
  const limitBytes = hooks.bufferBytesMax ?? linkBufferBytesMax;
  const forth = new Pipe(limitBytes);
  const back = new Pipe(limitBytes);
  let isCut = false;
  const cut = (why = 'it was cut') => {
    isCut = true;
    const error = linkBroken('the peer', why);
    forth.break(error);
    back.break(error);
  };
  const end = (out: Pipe, into: Pipe, direction: Direction, peerName: string): Link => {
    let last = Promise.resolve();
    let hasClosed = false;
    return {
      peerName,
      send(frame) {
        if (frame.type === FrameType.heartbeat) return Promise.resolve();
        if (hasClosed) return Promise.reject(linkBroken('the peer', 'it is closed'));
        if (!isCut && hooks.onFrame?.(frame, direction) === 'cut') cut('it was cut at a frame');
        const delay = hooks.delayMilliseconds?.(frame, direction) ?? 0;
        if (delay <= 0) {
          const sent = last.then(() => out.put(frame));
          last = sent.catch(() => {});
          return sent;
        }
        const copy = { ...frame, payload: Buffer.from(frame.payload) };
        const sent = last.then(async () => {
          await hooks.clock!.sleep(delay);
          await out.put(copy);
        });
        last = sent.catch(() => {});
        return sent;
      },
      async *frames() {
        for (;;) {
          let next: Frame | undefined;
          try {
            next = await into.get();
          } catch (error) {
            if (hasClosed) return;
            throw error;
          }
          if (!next) return;
          yield next;
        }
      },
      close(reason) {
        if (hasClosed) return;
        hasClosed = true;
        if (reason) {
          isCut = true;
          out.break(linkBroken('the peer', reason.message, reason));
          into.break(reason);
        } else {
          void last.then(() => out.end());
          into.end();
        }
      },
    };
  };
  return {
    sender: end(forth, back, 'toReceiver', hooks.receiverName ?? 'process-server/test'),
    receiver: end(back, forth, 'toSender', hooks.senderName ?? 'sender'),
    cut,
    get isCut() {
      return isCut;
    },
  };
}
