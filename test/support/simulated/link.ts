/**
 * Simulated connections: both ends of a `Link`, in memory, on simulated time, as encoded bytes, so that damage on the
 * wire meets the same checksums as in production. The faults:
 *
 * - **delay**: every frame takes latency and bandwidth; frames of one direction arrive in order. Reordering inside one
 *   connection is not possible over TCP, so it is not simulated; frames of an old connection and of a new one do overtake
 *   each other, and that is;
 * - **cut** at any moment (`cut`): what is under way is lost, also the second half of a frame; both ends learn of it, each
 *   after a while of its own;
 * - **half-open** (`mute`): nothing arrives any more and nobody is told, as when a machine loses power or a firewall
 *   forgets; each end hangs up after the silence limit. Meanwhile the sender may dial anew: duplicate connections;
 * - **bit flip** (`flipNext`): one bit of the next frame changes; the receiving end must refuse it and hang up;
 * - **death of a process**: the kernel closes its ends. What it had sent may still arrive, or not.
 */
import { strict as assert } from 'node:assert';
import { encodeFrame, type Frame, FrameSplitter } from '../../../src/protocol/replication/frame.ts';
import {
  type Link,
  linkBroken,
  linkBufferBytesMax,
  linkSilent,
} from '../../../src/protocol/replication/link.ts';
import { silenceMillisecondsMax } from '../../../src/protocol/replication/messages.ts';
import { type Life, never, type Timeline } from './clock.ts';
import type { SeededRandom } from './random.ts';

export interface LinkParty {
  readonly life: Life;
  readonly name: string;
}

export type Tap = (frame: Frame, from: 'sender' | 'receiver') => void;

export class SimulatedConnection {
  readonly sender: Link;
  readonly receiver: Link;
  readonly #sender: End;
  readonly #receiver: End;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  isMuted = false;
  flipNext = false;

  constructor(timeline: Timeline, random: SeededRandom, sender: LinkParty, receiver: LinkParty, tap: Tap) {
    this.#timeline = timeline;
    this.#random = random;
    const latencyMilliseconds = random.range(0.1, random.chance(0.2) ? 80 : 5);
    const make = (own: LinkParty, peer: LinkParty, side: 'sender' | 'receiver') =>
      new End(this, timeline, random, own.life, peer.name, latencyMilliseconds, (frame) => tap(frame, side));
    this.#sender = make(sender, receiver, 'sender');
    this.#receiver = make(receiver, sender, 'receiver');
    this.#sender.peer = this.#receiver;
    this.#receiver.peer = this.#sender;
    this.sender = this.#sender;
    this.receiver = this.#receiver;
    for (const end of [this.#sender, this.#receiver])
      end.life.onEnd(() => {
        if (this.isMuted) return;
        if (random.chance(0.5)) end.loseUnderWay();
        timeline.after(random.range(0.1, 20), () => end.peer.break('the peer died'));
      });
  }

  get isOpen(): boolean {
    return this.#sender.isOpen && this.#receiver.isOpen;
  }

  cut(): void {
    for (const end of [this.#sender, this.#receiver]) {
      end.loseUnderWay();
      this.#timeline.after(this.#random.range(0, 50), () => end.break('it was cut'));
    }
  }

  mute(): void {
    if (this.isMuted) return;
    this.isMuted = true;
    for (const end of [this.#sender, this.#receiver]) {
      end.loseUnderWay();
      end.hangUpWhenSilent();
    }
  }
}

class End implements Link {
  readonly peerName: string;
  readonly life: Life;
  peer!: End;
  readonly #connection: SimulatedConnection;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #latencyMilliseconds: number;
  readonly #tap: (frame: Frame) => void;
  readonly #splitter = new FrameSplitter();
  readonly #inbox: Frame[] = [];
  /** What this end has sent and the other's consumer has not taken yet. */
  #underWayBytes = 0;
  #lastArrivalMilliseconds = 0;
  /** Counts losses of what was under way: an arrival of an earlier epoch does not happen. */
  #epoch = 0;
  #state: 'open' | 'peer closed' | 'closed' = 'open';
  #failure: Error | undefined;
  #isIterated = false;
  #isWaiting = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];

  constructor(
    connection: SimulatedConnection,
    timeline: Timeline,
    random: SeededRandom,
    life: Life,
    peerName: string,
    latencyMilliseconds: number,
    tap: (frame: Frame) => void,
  ) {
    this.#connection = connection;
    this.#timeline = timeline;
    this.#random = random;
    this.life = life;
    this.peerName = peerName;
    this.#latencyMilliseconds = latencyMilliseconds;
    this.#tap = tap;
  }

  get isOpen(): boolean {
    return this.#state === 'open' && !this.life.hasEnded;
  }

  async send(frame: Frame): Promise<void> {
    if (this.life.hasEnded) return never();
    if (this.#state === 'closed') throw this.#failure ?? linkBroken(this.peerName, 'it is closed');
    const bytes = encodeFrame(frame);
    this.#tap(frame);
    if (this.#connection.flipNext) {
      this.#connection.flipNext = false;
      bytes[this.#random.between(0, bytes.byteLength - 1)]! ^= 1 << this.#random.between(0, 7);
    }
    this.#underWayBytes += bytes.byteLength;
    const epoch = this.#epoch;
    const now = this.#timeline.nowMilliseconds;
    const arrival = Math.max(
      this.#lastArrivalMilliseconds,
      now + this.#latencyMilliseconds * this.#random.range(1, 1.5) + bytes.byteLength / 50_000,
    );
    this.#lastArrivalMilliseconds = arrival;
    if (!this.#connection.isMuted)
      this.#timeline.after(arrival - now, () => {
        if (epoch === this.#epoch) this.peer.#arrive(bytes);
      });
    while (this.#underWayBytes > linkBufferBytesMax && this.#isUsable())
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    if (this.life.hasEnded) return never();
    if (this.#failure) throw this.#failure;
  }

  async *frames(): AsyncGenerator<Frame> {
    assert(!this.#isIterated, 'a link is read once');
    this.#isIterated = true;
    for (;;) {
      if (this.life.hasEnded) await never();
      if (this.#failure) throw this.#failure;
      if (this.#state === 'closed') return;
      const next = this.#inbox.shift();
      if (next) {
        this.peer.#taken(next.payload.byteLength + 64);
        yield next;
        continue;
      }
      if (this.#state === 'peer closed') return;
      this.#isWaiting = true;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
      this.#isWaiting = false;
    }
  }

  close(reason?: Error): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#failure = reason;
    this.#wakeAll();
    if (this.#connection.isMuted || this.life.hasEnded) return;
    const now = this.#timeline.nowMilliseconds;
    if (reason) {
      this.loseUnderWay();
      this.#timeline.after(this.#latencyMilliseconds, () => this.peer.break('the peer hung up'));
    } else {
      const epoch = this.#epoch;
      const arrival = Math.max(this.#lastArrivalMilliseconds, now + this.#latencyMilliseconds);
      this.#timeline.after(arrival - now, () => {
        if (epoch === this.#epoch) this.peer.#peerClosed();
      });
    }
  }

  /** Frames that this end sent and that have not arrived never will. */
  loseUnderWay(): void {
    this.#epoch++;
  }

  break(why: string): void {
    if (this.#connection.isMuted) return;
    this.#fail(linkBroken(this.peerName, why));
  }

  hangUpWhenSilent(milliseconds = silenceMillisecondsMax): void {
    this.#timeline.after(
      milliseconds,
      () => {
        if (this.#state !== 'open') return;
        if (this.#isWaiting) this.#fail(linkSilent(this.peerName, silenceMillisecondsMax));
        else this.hangUpWhenSilent(1000);
      },
      this.life,
    );
  }

  #isUsable(): boolean {
    return this.#state !== 'closed' && !this.life.hasEnded;
  }

  #fail(error: Error): void {
    if (this.#state === 'closed' || this.life.hasEnded) return;
    this.#state = 'closed';
    this.#failure = error;
    this.#inbox.length = 0;
    this.loseUnderWay();
    this.#wakeAll();
  }

  #arrive(bytes: Buffer): void {
    if (this.#connection.isMuted || this.life.hasEnded || this.#state !== 'open') return;
    try {
      // Copied: a payload is the splitter's own again at its next push, and the inbox holds several.
      for (const frame of this.#splitter.push(bytes))
        this.#inbox.push({ ...frame, payload: Uint8Array.from(frame.payload) });
    } catch (error) {
      this.close(error as Error);
      return;
    }
    this.#wakeReaderNow();
  }

  #taken(bytes: number): void {
    this.#underWayBytes -= bytes;
    if (this.#underWayBytes <= linkBufferBytesMax) this.#wakeWritersNow();
  }

  #peerClosed(): void {
    if (this.#state !== 'open') return;
    this.#state = 'peer closed';
    this.#wakeReaderNow();
  }

  #wakeAll(): void {
    this.#wakeReaderNow();
    this.#wakeWritersNow();
  }

  #wakeReaderNow(): void {
    if (this.life.hasEnded) return;
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }

  #wakeWritersNow(): void {
    if (this.life.hasEnded) return;
    const wake = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const resolve of wake) resolve();
  }
}
