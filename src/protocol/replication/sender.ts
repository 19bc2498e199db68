/**
 * The sending end of the change stream as a pure state machine: it knows what may be said when, numbers what is
 * journalled and remembers the ranges that are not yet durable at the other end. It has no socket and no clock; the
 * session in `mobility-service/outlet` carries its frames.
 *
 *     new ──hello()──▶ greeting ──welcome──▶ open ──refused, fenced──▶ ended
 *                          └───────refused───────────────────────────────▲
 *
 * What it promises: a range that was handed to `data` or `zero` is either acknowledged or answered by
 * `unacknowledged()`. A frame that breaks the rules of `messages.ts` ends the session with `ProtocolViolated`; it never
 * moves the window.
 */
import { strict as assert } from 'node:assert';
import { LeewardError } from '../../platform/errors.ts';
import { parseJson } from '../../platform/settings.ts';
import { type Frame, FrameFlag, FrameType, frame, headerBytes, jsonFrame, protocolVersion } from './frame.ts';
import { digestBytes, digestChunkBytes, type Hello, Order, Refused, Welcome } from './messages.ts';

export interface SentRange {
  readonly diskIndex: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export type SenderEvent =
  | { readonly event: 'welcomed'; readonly welcome: Welcome }
  /** Everything up to `sequence` is durable at the receiver. */
  | { readonly event: 'acknowledged'; readonly sequence: number }
  | {
      readonly event: 'digests';
      readonly diskIndex: number;
      readonly offsetBytes: number;
      readonly lengthBytes: number;
      /** A copy: may be kept. */
      readonly digests: Buffer;
    }
  | { readonly event: 'ordered'; readonly order: Order }
  /** An order of a newer receiver, or a frame type that only newer senders understand. */
  | { readonly event: 'ignored'; readonly what: string }
  | { readonly event: 'ended'; readonly error: LeewardError };

/** Frames that count into the window: one entry of about 100 bytes of memory each, so 3 MiB. */
export const unacknowledgedFramesMax = 32_768;

interface Journalled {
  readonly sequence: number;
  readonly weightBytes: number;
  readonly range: SentRange | undefined;
}

export class Sender {
  readonly #hello: Hello;
  #state: 'new' | 'greeting' | 'open' | 'ended' = 'new';
  #windowBytes = 0;
  #sequence = 0;
  #acknowledgedSequence = 0;
  #unacknowledgedBytes = 0;
  /** A ring of what is under way; `#first` moves so that an acknowledgement costs what it frees. */
  #underWay: Journalled[] = [];
  #first = 0;

  constructor(hello: Hello) {
    this.#hello = hello;
  }

  get state(): 'new' | 'greeting' | 'open' | 'ended' {
    return this.#state;
  }
  /** Of the last journalled frame. */
  get sequence(): number {
    return this.#sequence;
  }
  get acknowledgedSequence(): number {
    return this.#acknowledgedSequence;
  }
  get unacknowledgedBytes(): number {
    return this.#unacknowledgedBytes;
  }

  hello(): Frame {
    assert.equal(this.#state, 'new');
    this.#state = 'greeting';
    return jsonFrame(FrameType.hello, this.#hello, { generation: this.#hello.generation });
  }

  /** Whether a journalled frame with this payload may be sent now. One frame always may when nothing is under way. */
  hasRoomFor(payloadBytes: number): boolean {
    if (this.#state !== 'open') return false;
    const count = this.#underWay.length - this.#first;
    if (count === 0) return true;
    return (
      count < unacknowledgedFramesMax && this.#unacknowledgedBytes + weigh(payloadBytes) <= this.#windowBytes
    );
  }

  /** @param payload the bytes of the range, or a zstd frame of them, which is then shorter */
  data(range: SentRange, payload: Uint8Array): Frame {
    assert(payload.byteLength <= range.lengthBytes);
    const flags = payload.byteLength < range.lengthBytes ? FrameFlag.packed : 0;
    return this.#journalled(frame(FrameType.data, { ...range, flags, payload }), range);
  }

  zero(range: SentRange): Frame {
    return this.#journalled(frame(FrameType.zero, range), range);
  }

  /** Bookmark, resync-begin, resync-end, progress, health. */
  json(type: FrameType, value: unknown, diskIndex = 0): Frame {
    return this.#journalled(jsonFrame(type, value, { diskIndex }), undefined);
  }

  receive(received: Frame): SenderEvent[] {
    try {
      return this.#receive(received);
    } catch (error) {
      if (!(error instanceof LeewardError)) throw error;
      this.#state = 'ended';
      return [{ event: 'ended', error }];
    }
  }

  /** What has to go back into the change maps when the session is over. */
  unacknowledged(): SentRange[] {
    return this.#underWay.slice(this.#first).flatMap(({ range }) => (range ? [range] : []));
  }

  #journalled(unnumbered: Frame, range: SentRange | undefined): Frame {
    assert.equal(this.#state, 'open');
    const weightBytes = weigh(unnumbered.payload.byteLength);
    this.#sequence += 1;
    this.#unacknowledgedBytes += weightBytes;
    this.#underWay.push({ sequence: this.#sequence, weightBytes, range });
    return { ...unnumbered, generation: this.#hello.generation, sequence: this.#sequence };
  }

  #receive(received: Frame): SenderEvent[] {
    if (this.#state === 'ended') return [];
    switch (received.type) {
      case FrameType.heartbeat:
        return [];
      case FrameType.refused:
      case FrameType.fenced: {
        const refused = parseJson(Refused, textOf(received), 'the receiver’s refusal');
        this.#state = 'ended';
        return [{ event: 'ended', error: refusal(refused, received.type === FrameType.fenced) }];
      }
      case FrameType.welcome:
        return [this.#welcome(received)];
      case FrameType.ack:
        return this.#acknowledge(received);
      case FrameType.digests:
        return [this.#digests(received)];
      case FrameType.order: {
        this.#mustBeOpen('an order');
        const order = Order.safeParse(jsonOrUndefined(received));
        if (!order.success) return [{ event: 'ignored', what: 'an order of an unknown kind' }];
        return [{ event: 'ordered', order: order.data }];
      }
      default:
        throw protocolViolated(`a frame of type ${received.type} came from the receiver`);
    }
  }

  #welcome(received: Frame): SenderEvent {
    if (this.#state !== 'greeting') throw protocolViolated(`a welcome came in state ${this.#state}`);
    const welcome = parseJson(Welcome, textOf(received), 'the receiver’s welcome');
    const hello = this.#hello;
    if (welcome.protocolVersion !== protocolVersion)
      throw protocolViolated(`the receiver chose version ${welcome.protocolVersion}, which was not offered`);
    if (welcome.generation !== hello.generation || welcome.sessionId !== hello.sessionId)
      throw protocolViolated('the welcome is for another session');
    const isSameDisks =
      welcome.disks.length === hello.disks.length &&
      welcome.disks.every((disk, index) => disk.diskId === hello.disks[index]!.diskId);
    if (!isSameDisks) throw protocolViolated('the welcome names other disks than the hello');
    this.#windowBytes = welcome.windowBytes;
    this.#state = 'open';
    return { event: 'welcomed', welcome };
  }

  #acknowledge({ sequence, generation }: Frame): SenderEvent[] {
    this.#mustBeOpen('an acknowledgement');
    if (generation !== 0 && generation !== this.#hello.generation)
      throw protocolViolated(`an acknowledgement of generation ${generation}`);
    if (sequence > this.#sequence)
      throw protocolViolated(`frame ${sequence} was acknowledged, but only ${this.#sequence} were sent`);
    // An older one says nothing new.
    if (sequence <= this.#acknowledgedSequence) return [];
    this.#acknowledgedSequence = sequence;
    while (this.#first < this.#underWay.length && this.#underWay[this.#first]!.sequence <= sequence) {
      this.#unacknowledgedBytes -= this.#underWay[this.#first]!.weightBytes;
      this.#first += 1;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#underWay.length) {
      this.#underWay = this.#underWay.slice(this.#first);
      this.#first = 0;
    }
    return [{ event: 'acknowledged', sequence }];
  }

  #digests({ diskIndex, offsetBytes, lengthBytes, payload }: Frame): SenderEvent {
    this.#mustBeOpen('digests');
    const disk = this.#hello.disks[diskIndex];
    const count = Math.ceil(lengthBytes / digestChunkBytes);
    if (
      !disk ||
      offsetBytes % digestChunkBytes !== 0 ||
      offsetBytes + lengthBytes > disk.sizeBytes ||
      payload.byteLength !== count * digestBytes ||
      (lengthBytes % digestChunkBytes !== 0 && offsetBytes + lengthBytes !== disk.sizeBytes)
    )
      throw protocolViolated('digests that do not fit the disk');
    return { event: 'digests', diskIndex, offsetBytes, lengthBytes, digests: Buffer.from(payload) };
  }

  #mustBeOpen(what: string): void {
    if (this.#state !== 'open') throw protocolViolated(`${what} came in state ${this.#state}`);
  }
}

/** A frame without payload still takes a header's room in the receiver's journal. */
function weigh(payloadBytes: number): number {
  return payloadBytes + headerBytes;
}

function textOf({ payload }: Frame): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
}

function jsonOrUndefined(received: Frame): unknown {
  try {
    return JSON.parse(textOf(received));
  } catch {
    return undefined;
  }
}

/** A fenced session never comes back by itself, whatever the receiver says: two services are at work for one machine. */
function refusal(refused: Refused, isFenced: boolean): LeewardError {
  return new LeewardError({
    code: isFenced ? 'SessionFenced' : refused.code,
    summary: isFenced
      ? `another mobility service has taken over this machine: ${refused.summary}`
      : refused.summary,
    possibleCauses: refused.possibleCauses,
    recommendedAction: refused.recommendedAction,
    retry: isFenced ? 'permanent' : refused.retry,
    context: {
      isRefusal: isFenced || refused.retry === 'permanent',
      ...(refused.position
        ? {
            highestGeneration: refused.position.highestGeneration,
            receivedGeneration: refused.position.generation,
            receivedSequence: refused.position.sequence,
          }
        : {}),
    },
  });
}

export function protocolViolated(why: string): LeewardError {
  return new LeewardError({
    code: 'ProtocolViolated',
    summary: `the peer broke the rules of the change stream: ${why}`,
    possibleCauses: 'The two ends are of incompatible versions, or one of them has an error.',
    recommendedAction: 'Bring both ends to the same release. The connection is made anew meanwhile.',
    retry: 'transient',
  });
}
