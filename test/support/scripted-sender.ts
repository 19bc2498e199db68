/**
 * A sender that writes random changes to disks in memory and sends them: the other end of a process server's tests. It
 * remembers what every disk had at every bookmark; `replay` builds the same images from cache storage. The byte is the
 * oracle.
 */
import { strict as assert } from 'node:assert';
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { zstdCompressSync } from 'node:zlib';
import type { ResyncCause } from '../../src/model/disk-state.ts';
import type { BookmarkId, ProtectedDiskId, ProtectedItemId } from '../../src/model/ids.ts';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { manifestMacKey } from '../../src/protocol/cache/keys.ts';
import {
  decodeManifest,
  type Manifest,
  manifestDigest,
  manifestPrefix,
} from '../../src/protocol/cache/manifest.ts';
import { type Frame, FrameType } from '../../src/protocol/replication/frame.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import type { Hello, Order, Welcome } from '../../src/protocol/replication/messages.ts';
import { Sender } from '../../src/protocol/replication/sender.ts';
import { segmentPieces } from './segment-pieces.ts';

const never = new AbortController().signal;
const blockBytes = 4096;

export class ScriptedSender {
  readonly itemId = randomUUID() as ProtectedItemId;
  readonly itemKey = randomBytes(32);
  readonly diskIds: ProtectedDiskId[];
  readonly images: Buffer[];
  /** Bookmark id → images at that moment. */
  readonly points = new Map<string, Buffer[]>();
  /** Blocks that the other side may not have, by disk: what the change map would say. */
  readonly dirty: Set<number>[];
  generation = 0;
  /** What the next hello says of the machine. */
  machineIdentity: string | undefined;
  /** What the next hello says of the session before. */
  previous: Hello['previous'];
  sender!: Sender;
  welcome: Welcome | undefined;
  ended: Error | undefined;
  digests: Frame[] = [];
  readonly orders: Order[] = [];
  #link: Link | undefined;
  #bell = Promise.withResolvers<void>();
  #receiving: Promise<void> = Promise.resolve();

  constructor(sizesBytes: readonly number[]) {
    this.diskIds = sizesBytes.map(() => randomUUID() as ProtectedDiskId);
    this.images = sizesBytes.map((size) => Buffer.alloc(size));
    this.dirty = sizesBytes.map(() => new Set());
  }

  hello(): Hello {
    return {
      protocolVersions: [2],
      itemId: this.itemId,
      sessionId: randomUUID(),
      generation: this.generation,
      bootId: 'boot',
      ...(this.previous ? { previous: this.previous } : {}),
      agentVersion: 'test',
      hostName: 'test',
      ...(this.machineIdentity === undefined ? {} : { machineIdentity: this.machineIdentity }),
      disks: this.diskIds.map((diskId, index) => ({
        diskId,
        sizeBytes: this.images[index]!.byteLength,
        name: `/dev/sd${index}`,
      })),
    };
  }

  /** Says hello and waits for the answer; throws a refusal. */
  async connect(link: Link, generation = this.generation + 1): Promise<Welcome> {
    this.generation = generation;
    this.#link = link;
    this.sender = new Sender(this.hello());
    this.welcome = undefined;
    this.ended = undefined;
    this.#receiving = this.#receive(link);
    await link.send(this.sender.hello());
    await this.until(() => this.welcome !== undefined);
    return this.welcome!;
  }

  /** First copy of disks that are not in sync, in one go. */
  async synchronize(): Promise<void> {
    for (const [index, disk] of this.welcome!.disks.entries())
      if (disk.state !== 'in-sync')
        await this.#walk(
          index,
          disk.state === 'empty' || disk.state === 'initial' ? 'initial' : 'resync',
          disk.resyncCause ?? 'InitialReplication',
        );
  }

  /** Walks a disk as after a comparison that found everything different. */
  compare(index: number, cause: ResyncCause): Promise<void> {
    return this.#walk(index, 'resync', cause);
  }

  /** Begins a walk, or goes on with one, and leaves it open; answers its id. */
  async beginWalk(
    index: number,
    kind: 'initial' | 'resync',
    cause: ResyncCause,
    { resyncId = randomUUID() as string, fromBytes = 0 } = {},
  ): Promise<string> {
    const { diskId } = this.welcome!.disks[index]!;
    const begin = { resyncId, diskId, kind, cause, fromBytes, sizeBytes: this.images[index]!.byteLength };
    await this.#send(0, () => this.sender.json(FrameType.resyncBegin, begin, index));
    return resyncId;
  }

  async #walk(index: number, kind: 'initial' | 'resync', cause: ResyncCause): Promise<void> {
    const { diskId } = this.welcome!.disks[index]!;
    const resyncId = await this.beginWalk(index, kind, cause);
    const sizeBytes = this.images[index]!.byteLength;
    for (let at = 0; at < sizeBytes; at += 1 << 20)
      await this.#range(index, at, Math.min(1 << 20, sizeBytes - at));
    const end = { resyncId, diskId, comparedBytes: sizeBytes, sentBytes: sizeBytes };
    await this.#send(0, () => this.sender.json(FrameType.resyncEnd, end, index));
  }

  /** Writes blocks at random, noise, text or zeroes, and marks them. */
  write(count: number): void {
    for (let n = 0; n < count; n++) {
      const disk = randomInt(this.images.length);
      const image = this.images[disk]!;
      const blocks = image.byteLength / blockBytes;
      const first = randomInt(blocks);
      const length = Math.min(1 + randomInt(16), blocks - first);
      const range = image.subarray(first * blockBytes, (first + length) * blockBytes);
      const what = randomInt(3);
      if (what === 0) range.fill(0);
      else if (what === 1) range.fill(`text ${randomInt(1000)} `);
      else randomBytes(range.byteLength).copy(range);
      for (let block = first; block < first + length; block++) this.dirty[disk]!.add(block);
    }
  }

  /** Sends what is marked. What is not acknowledged when the link breaks is marked again. */
  async drain(): Promise<void> {
    for (const [disk, dirty] of this.dirty.entries()) {
      const blocks = [...dirty];
      dirty.clear();
      for (const [index, block] of blocks.entries())
        try {
          await this.#range(disk, block * blockBytes, blockBytes);
        } catch (error) {
          for (const rest of blocks.slice(index)) dirty.add(rest);
          throw error;
        }
    }
  }

  async bookmark(): Promise<string> {
    await this.drain();
    const bookmarkId = randomUUID();
    const images = this.images.map((image) => Buffer.from(image));
    // Before it is sent: it may arrive although its acknowledgement does not.
    this.points.set(bookmarkId, images);
    await this.#send(0, () =>
      this.sender.json(FrameType.bookmark, {
        bookmarkId: bookmarkId as BookmarkId,
        type: 'CrashConsistent',
        method: 'quiet',
        takenAt: new Date().toISOString(),
        frozenMilliseconds: 0,
      }),
    );
    return bookmarkId;
  }

  async acknowledged(): Promise<void> {
    await this.until(() => this.sender.acknowledgedSequence === this.sender.sequence);
  }

  /** Hangs up and marks again what was not acknowledged. */
  async disconnect(): Promise<void> {
    this.#link?.close();
    await this.#receiving;
    for (const range of this.sender.unacknowledged())
      for (let at = range.offsetBytes; at < range.offsetBytes + range.lengthBytes; at += blockBytes)
        this.dirty[range.diskIndex]!.add(at / blockBytes);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.ended) throw this.ended;
      await this.#bell.promise;
    }
  }

  async #range(diskIndex: number, offsetBytes: number, lengthBytes: number): Promise<void> {
    const bytes = this.images[diskIndex]!.subarray(offsetBytes, offsetBytes + lengthBytes);
    const range = { diskIndex, offsetBytes, lengthBytes };
    if (bytes.every((byte) => byte === 0)) await this.#send(0, () => this.sender.zero(range));
    else {
      // Also of single blocks, so that packed frames are overwritten in part, too.
      const packed = zstdCompressSync(bytes);
      const payload = packed.byteLength < lengthBytes ? packed : bytes;
      await this.#send(payload.byteLength, () => this.sender.data(range, payload));
    }
  }

  async #send(payloadBytes: number, make: () => Frame): Promise<void> {
    await this.until(() => this.sender.hasRoomFor(payloadBytes));
    await this.#link!.send(make());
  }

  async #receive(link: Link): Promise<void> {
    try {
      for await (const frame of link.frames()) {
        if (frame.type === FrameType.digests)
          this.digests.push({ ...frame, payload: Buffer.from(frame.payload) });
        for (const event of this.sender.receive(frame)) {
          if (event.event === 'welcomed') this.welcome = event.welcome;
          if (event.event === 'ordered') this.orders.push(event.order);
          if (event.event === 'ended') throw event.error;
        }
        this.#ring();
      }
      throw new Error('the peer hung up');
    } catch (error) {
      this.ended = error as Error;
      this.#ring();
    }
  }

  #ring(): void {
    this.#bell.resolve();
    this.#bell = Promise.withResolvers<void>();
  }
}

export interface Replayed {
  readonly manifests: Manifest[];
  readonly bookmarks: string[];
  readonly images: Buffer[];
}

/** Applies all chains in cache storage in order, and compares the images at every bookmark with the sender's. */
export async function replay(sender: ScriptedSender, store: CacheStore): Promise<Replayed> {
  const images = sender.images.map((image) => Buffer.alloc(image.byteLength, 0xee));
  const manifests: Manifest[] = [];
  const bookmarks: string[] = [];
  let previous: { digest: string; chain: number; sequence: number } | undefined;
  for (let after = ''; ; ) {
    const page = await store.list(manifestPrefix(sender.itemId), { limit: 1000, after }, never);
    if (page.length === 0) break;
    for (const { key } of page) {
      after = key;
      const object = await buffer((await store.get(key, never))!);
      const manifest = decodeManifest(object, manifestMacKey(sender.itemKey), key);
      if (previous?.chain === manifest.chain) {
        assert.equal(manifest.sequence, previous.sequence + 1);
        assert.equal(manifest.previousDigest, previous.digest);
      } else {
        assert.equal(manifest.sequence, 1);
        assert.equal(manifest.previousDigest, null);
      }
      previous = { digest: manifestDigest(object), chain: manifest.chain, sequence: manifest.sequence };
      manifests.push(manifest);
      for (const segment of manifest.segments) {
        const disk = sender.diskIds.indexOf(segment.diskId);
        const stream = (await store.get(segment.key, never))!;
        assert(stream, `${segment.key} is missing`);
        const pieces = await segmentPieces(stream, sender.itemKey, {
          identity: {
            itemId: sender.itemId,
            diskId: segment.diskId,
            chain: manifest.chain,
            sequence: manifest.sequence,
          },
          sha256: segment.sha256,
          objectBytes: segment.objectBytes,
          diskSizeBytes: images[disk]!.byteLength,
        });
        for (const piece of pieces)
          if (piece.kind === 'zero')
            images[disk]!.fill(0, piece.offsetBytes, piece.offsetBytes + piece.lengthBytes);
          else images[disk]!.set(piece.bytes, piece.offsetBytes);
      }
      if (manifest.bookmark) {
        assert(manifest.disks.every((disk) => disk.state === 'in-sync'));
        const expected = sender.points.get(manifest.bookmark.bookmarkId)!;
        for (const [index, image] of images.entries())
          assert(image.equals(expected[index]!), `disk ${index} differs at ${manifest.bookmark.bookmarkId}`);
        bookmarks.push(manifest.bookmark.bookmarkId);
      }
    }
  }
  return { manifests, bookmarks, images };
}
