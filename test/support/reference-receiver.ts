/**
 * A receiver as simple as can be, the oracle of the sending side's tests: frames go straight into an image in memory, and
 * the image is kept at each bookmark. It acknowledges a little later, and can forget everything.
 */

import { digestOf } from '../../src/mobility-service/resync/walk.ts';
import type { Bookmark } from '../../src/model/bookmark.ts';
import type { HealthEvent } from '../../src/model/health.ts';
import { FrameType, frame, jsonFrame } from '../../src/protocol/replication/frame.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import {
  digestBytes,
  digestChunkBytes,
  type Order,
  type ResyncBegin,
  type Welcome,
} from '../../src/protocol/replication/messages.ts';
import { dataOf } from '../../src/protocol/replication/packed.ts';
import {
  isFromPast,
  parseHello,
  type ReceivedDisk,
  Receiver,
  type SessionPosition,
} from '../../src/protocol/replication/receiver.ts';

export class ReferenceReceiver {
  readonly points: { readonly bookmark: Bookmark; readonly images: readonly Buffer[] }[] = [];
  readonly begins: ResyncBegin[] = [];
  readonly health: HealthEvent[] = [];
  readonly windowBytes: number;
  images: Buffer[] = [];
  /** Judges a point at once, instead of keeping a copy of its images; for disks too large for many. */
  judge: ((bookmark: Bookmark, images: readonly Buffer[]) => void) | undefined;
  #known: readonly ReceivedDisk[] = [];
  #generation = 0;
  #received: SessionPosition | undefined;
  #live: { link: Link } | undefined;
  framesTaken = 0;

  constructor(windowBytes = 256 << 10) {
    this.windowBytes = windowBytes;
  }

  forgetAll(): void {
    this.images = [];
    this.#known = [];
  }

  /** Asks whoever is connected. */
  async order(order: Order): Promise<void> {
    await this.#live?.link.send(jsonFrame(FrameType.order, order));
  }

  async serve(link: Link): Promise<void> {
    let receiver: Receiver | undefined;
    let isAckComing = false;
    const me = { link };
    for await (const arrived of link.frames()) {
      if (!receiver) {
        const hello = parseHello(arrived);
        if (isFromPast(hello.previous, this.#received)) {
          const position = { ...this.#received!, highestGeneration: this.#generation };
          const past = { ...refused('MachineReverted'), retry: 'transient', position };
          await link.send(jsonFrame(FrameType.refused, past));
          link.close();
          return;
        }
        if (hello.generation <= this.#generation) {
          await link.send(jsonFrame(FrameType.refused, refused('OldGeneration')));
          link.close();
          return;
        }
        this.#generation = hello.generation;
        if (this.#live) {
          const older = this.#live.link;
          void older.send(jsonFrame(FrameType.fenced, refused('Fenced'))).catch(() => {});
          older.close();
        }
        this.#live = me;
        receiver = new Receiver(hello, this.#known);
        for (const [index, disk] of hello.disks.entries())
          if (this.images[index]?.byteLength !== disk.sizeBytes) {
            // New, or resized: what is there stays.
            const image = Buffer.alloc(disk.sizeBytes);
            this.images[index]?.copy(image);
            this.images[index] = image;
          }
        const welcome: Welcome = {
          protocolVersion: 2,
          sessionId: hello.sessionId,
          generation: hello.generation,
          windowBytes: this.windowBytes,
          disks: receiver.disks.map(({ diskId, state, cause }) => ({
            diskId,
            state,
            ...(cause ? { resyncCause: cause } : {}),
          })),
        };
        await link.send(jsonFrame(FrameType.welcome, welcome));
        continue;
      }
      if (this.#live !== me) return;
      this.framesTaken += 1;
      const received = receiver.accept(arrived);
      this.#known = receiver.disks;
      this.#received = { generation: receiver.hello.generation, sequence: receiver.sequence };
      const image = this.images[arrived.diskIndex]!;
      if (received.kind === 'data') image.set(dataOf(arrived), arrived.offsetBytes);
      else if (received.kind === 'zero')
        image.fill(0, arrived.offsetBytes, arrived.offsetBytes + arrived.lengthBytes);
      else if (received.kind === 'bookmark') {
        this.judge?.(received.bookmark, this.images);
        const images = this.judge ? [] : this.images.map((each) => Buffer.from(each));
        this.points.push({ bookmark: received.bookmark, images });
      } else if (received.kind === 'health') this.health.push(received.event);
      else if (received.kind === 'resync-begin') {
        this.begins.push(received.begin);
        if (received.begin.kind === 'resync') await this.#digests(link, received.diskIndex, received.begin);
      }
      // As after a batched sync: a little later, for all that has come until then.
      if (isAckComing) continue;
      isAckComing = true;
      const { generation } = receiver.hello;
      setImmediate(() => {
        isAckComing = false;
        const ack = frame(FrameType.ack, { sequence: receiver!.sequence, generation });
        link.send(ack).catch(() => {});
      });
    }
  }

  async #digests(link: Link, diskIndex: number, begin: ResyncBegin): Promise<void> {
    const image = this.images[diskIndex]!;
    const digests: Buffer[] = [];
    for (let at = begin.fromBytes; at < begin.sizeBytes; at += digestChunkBytes)
      digests.push(digestOf(image.subarray(at, Math.min(at + digestChunkBytes, begin.sizeBytes))));
    if (digests.length === 0) return;
    const payload = Buffer.concat(digests, digests.length * digestBytes);
    await link.send(
      frame(FrameType.digests, {
        diskIndex,
        offsetBytes: begin.fromBytes,
        lengthBytes: begin.sizeBytes - begin.fromBytes,
        payload,
      }),
    );
  }
}

function refused(code: string) {
  return {
    code,
    summary: 'a newer session was seen',
    possibleCauses: 'two services',
    recommendedAction: 'stop one',
    retry: 'permanent' as const,
  };
}
