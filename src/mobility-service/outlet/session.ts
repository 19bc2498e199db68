/**
 * The back door: one session with the process server. What drain and resync read comes in as ranges, waits here for the
 * window and the throttle, gets its number and goes into the link. Acknowledgements come back the same way and open the
 * window. Nothing is queued but the callers that wait: whoever reads a disk holds its buffer until the link has the
 * bytes, so a slow network slows the reading, and the change map absorbs the rest.
 *
 * Order: frames go out in the order in which the calls were made. When the session has failed, `unacknowledged()` says
 * what must go back into the change maps.
 */
import { type Clock, pause, withDeadline } from '../../platform/clock.ts';
import type { LeewardError } from '../../platform/errors.ts';
import type { Frame, FrameType } from '../../protocol/replication/frame.ts';
import { type Link, linkBroken } from '../../protocol/replication/link.ts';
import type { Hello, Order, Welcome } from '../../protocol/replication/messages.ts';
import { Sender, type SentRange } from '../../protocol/replication/sender.ts';
import { errors } from '../errors.ts';
import { welcomeMillisecondsMax } from '../limits.ts';
import { TokenBucket } from './token-bucket.ts';

export interface SessionListener {
  digests(diskIndex: number, offsetBytes: number, lengthBytes: number, digests: Buffer): void;
  ordered(order: Order): void;
  acknowledged(sequence: number): void;
  ignored(what: string): void;
}

interface Waiting {
  readonly payloadBytes: number;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

export class Session {
  readonly welcome: Welcome;
  readonly #link: Link;
  readonly #sender: Sender;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  readonly #ownBytesPerSecondMax: number | undefined;
  readonly #listener: SessionListener;
  readonly #over = new AbortController();
  #waiting: Waiting[] = [];
  #isTimerSet = false;
  #failure: Error | undefined;
  #acknowledgementWaiters: { sequence: number; go: () => void; fail: (error: Error) => void }[] = [];
  #receiving: Promise<void> = Promise.resolve();

  /** Says hello and waits for the welcome. Throws the refusal, `NotWelcomed`, or whatever broke the link. */
  static async open(options: {
    readonly link: Link;
    readonly hello: Hello;
    readonly clock: Clock;
    readonly listener: SessionListener;
    readonly bytesPerSecondMax?: number | undefined;
  }): Promise<Session> {
    const { link, clock } = options;
    const sender = new Sender(options.hello);
    const frames = link.frames()[Symbol.asyncIterator]();
    const greeting = (async () => {
      await link.send(sender.hello());
      for (;;) {
        const next = await frames.next();
        if (next.done) throw linkBroken(link.peerName, 'the peer hung up before it answered the hello');
        for (const event of sender.receive(next.value)) {
          if (event.event === 'ended') throw event.error;
          if (event.event === 'welcomed') return event.welcome;
        }
      }
    })();
    greeting.catch(() => {}); // Seen below; after a time-out nobody else would.
    try {
      const welcome = await withDeadline(clock, welcomeMillisecondsMax, greeting, () =>
        errors.NotWelcomed(link.peerName),
      );
      return new Session(options, sender, welcome, frames);
    } catch (error) {
      link.close(error as Error);
      throw error;
    }
  }

  private constructor(
    options: {
      readonly link: Link;
      readonly clock: Clock;
      readonly listener: SessionListener;
      readonly bytesPerSecondMax?: number | undefined;
    },
    sender: Sender,
    welcome: Welcome,
    frames: AsyncIterator<Frame>,
  ) {
    this.welcome = welcome;
    this.#link = options.link;
    this.#clock = options.clock;
    this.#listener = options.listener;
    this.#sender = sender;
    this.#ownBytesPerSecondMax = options.bytesPerSecondMax;
    this.#bucket = new TokenBucket(
      options.clock,
      lower(options.bytesPerSecondMax, welcome.bytesPerSecondMax),
    );
    this.#receiving = this.#receive(frames);
  }

  /** Aborted when the session is over, with its failure as the reason. */
  get over(): AbortSignal {
    return this.#over.signal;
  }
  get sequence(): number {
    return this.#sender.sequence;
  }
  get acknowledgedSequence(): number {
    return this.#sender.acknowledgedSequence;
  }
  get unacknowledgedBytes(): number {
    return this.#sender.unacknowledgedBytes;
  }

  /** Resolves when the link has the bytes: the payload may then be reused. */
  data(range: SentRange, payload: Uint8Array): Promise<void> {
    return this.#send(payload.byteLength, () => this.#sender.data(range, payload));
  }

  zero(range: SentRange): Promise<void> {
    return this.#send(0, () => this.#sender.zero(range));
  }

  /** Answers the frame's sequence once the link has it. */
  async json(type: FrameType, value: unknown, diskIndex = 0): Promise<number> {
    let sequence = 0;
    await this.#send(0, () => {
      const made = this.#sender.json(type, value, diskIndex);
      sequence = made.sequence;
      return made;
    });
    return sequence;
  }

  /** Resolves when everything up to `sequence` is durable at the receiver. */
  acknowledgement(sequence: number): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (sequence <= this.#sender.acknowledgedSequence) return Promise.resolve();
    return new Promise((go, fail) => this.#acknowledgementWaiters.push({ sequence, go, fail }));
  }

  /** @param bytesPerSecondMax what the receiver asks for; the assignment's own limit stays */
  throttle(bytesPerSecondMax: number | undefined): void {
    this.#bucket.setRate(lower(this.#ownBytesPerSecondMax, bytesPerSecondMax));
    this.#admit();
  }

  unacknowledged(): SentRange[] {
    return this.#sender.unacknowledged();
  }

  throwIfOver(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Hangs up; everybody who still waits here gets `reason`. */
  async close(reason?: Error): Promise<void> {
    this.#fail(reason ?? errors.Stopping(), reason === undefined);
    await this.#receiving;
  }

  #send(payloadBytes: number, make: () => Frame): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#waiting.length === 0 && this.#isAdmissible(payloadBytes)) return this.#link.send(make());
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        payloadBytes,
        go: () => void this.#link.send(make()).then(resolve, reject),
        fail: reject,
      });
      // Nothing else wakes it when the throttle alone holds it back.
      if (this.#waiting.length === 1) this.#admit();
    });
  }

  #isAdmissible(payloadBytes: number): boolean {
    if (!this.#sender.hasRoomFor(payloadBytes)) return false;
    if (payloadBytes === 0) return true;
    const waitMilliseconds = this.#bucket.take(payloadBytes);
    if (waitMilliseconds === 0) return true;
    if (!this.#isTimerSet) {
      this.#isTimerSet = true;
      void pause(this.#clock, waitMilliseconds, this.#over.signal).then(() => {
        this.#isTimerSet = false;
        this.#admit();
      });
    }
    return false;
  }

  #admit(): void {
    while (!this.#failure && this.#waiting.length > 0 && this.#isAdmissible(this.#waiting[0]!.payloadBytes))
      this.#waiting.shift()!.go();
  }

  async #receive(frames: AsyncIterator<Frame>): Promise<void> {
    try {
      for (;;) {
        const next = await frames.next();
        if (next.done) throw linkBroken(this.#link.peerName, 'the peer hung up');
        for (const event of this.#sender.receive(next.value)) {
          switch (event.event) {
            case 'acknowledged':
              this.#acknowledged(event.sequence);
              break;
            case 'digests':
              this.#listener.digests(event.diskIndex, event.offsetBytes, event.lengthBytes, event.digests);
              break;
            case 'ordered':
              this.#listener.ordered(event.order);
              break;
            case 'ignored':
              this.#listener.ignored(event.what);
              break;
            case 'ended':
              throw event.error;
            case 'welcomed':
              break;
          }
        }
      }
    } catch (error) {
      this.#fail(error as LeewardError);
    }
  }

  #acknowledged(sequence: number): void {
    const due = this.#acknowledgementWaiters.filter((waiter) => waiter.sequence <= sequence);
    this.#acknowledgementWaiters = this.#acknowledgementWaiters.filter(
      (waiter) => waiter.sequence > sequence,
    );
    for (const waiter of due) waiter.go();
    this.#listener.acknowledged(sequence);
    this.#admit();
  }

  #fail(error: Error, isGood = false): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#link.close(isGood ? undefined : error);
    for (const waiting of this.#waiting) waiting.fail(error);
    for (const waiter of this.#acknowledgementWaiters) waiter.fail(error);
    this.#waiting = [];
    this.#acknowledgementWaiters = [];
    this.#over.abort(error);
  }
}

function lower(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}
