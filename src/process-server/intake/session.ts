/**
 * The front door: one connection of one machine. Frames come in, are checked by the receiver, gathered into batches, made
 * durable in the item's journal, and only then acknowledged. While one batch is being synced the next one is gathered, so
 * one fsync serves whatever arrived during the last one.
 *
 * Back-pressure: a frame is asked for only when there is room for it in the spool and in a batch. Nothing else queues.
 *
 * Fencing: a newer session makes its generation durable first, then ends this one. `append` asks in turn whether this
 * session is still the one that may write, so not even a batch already under way gets in behind the newer one.
 */
import { pause, withDeadline } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';
import { type DigestPart, decodeDigestPart } from '../../protocol/cache/digest-part.ts';
import { digestPrefix } from '../../protocol/cache/manifest.ts';
import { openObject } from '../../protocol/cache/segment.ts';
import {
  encodeHeader,
  type Frame,
  FrameType,
  frame,
  headerBytes,
  jsonFrame,
  protocolVersion,
} from '../../protocol/replication/frame.ts';
import { type Link, linkBroken } from '../../protocol/replication/link.ts';
import {
  digestBytes,
  digestChunkBytes,
  type Hello,
  type Order,
  type Refused,
  type Welcome,
} from '../../protocol/replication/messages.ts';
import { parseHello, Receiver } from '../../protocol/replication/receiver.ts';
import { asLeewardError, processServerErrors } from '../errors.ts';
import { Bell } from '../gate.ts';
import { abortable, type LiveSession, type ProtectedItem, type Services } from '../item.ts';

/** A hello is the first thing a sender says; whoever is silent this long is not one. */
const helloMillisecondsMax = 15_000;
/** How long a refusal waits for the spool to recover before it says "later". */
const readyMillisecondsMax = 20_000;
/** Digests go out in frames of this much: 1 GiB of disk each. */
const digestFrameBytes = 256 << 10;
/** A digest object is at most 1 MiB of digests and its envelope. */
const digestObjectBytesMax = 2 << 20;
/** Digests go to the sender so far ahead of where its walk is: it keeps those of 32 GiB and forgets what comes beyond.
 * 16 GiB are 16 s at 1 GB/s, and it tells its place every second. */
const digestsAheadBytes = 16 * 2 ** 30;

/** While a comparison waits for its digests: 20 ms, 40, 80 … up to the limit; what is found begins anew. */
const digestPollMillisecondsMin = 20;

/** Much less than a sync of a busy disk, and more than a network needs for what is sent together. */
const gatherMilliseconds = 5;

interface Batch {
  readonly buffer: Buffer;
  readonly leave: () => void;
  readonly sinceMilliseconds: number;
  used: number;
  frames: number;
  lastSequence: number;
  disksAfter: Receiver['disks'];
  closeAfter: boolean;
  bookmark: string | undefined;
}

/** Serves one connection to its end; never throws. */
export async function serveLink(
  services: Services,
  itemOf: (itemId: string) => ProtectedItem | undefined,
  link: Link,
): Promise<void> {
  const { clock, log } = services;
  const frames = link.frames()[Symbol.asyncIterator]();
  let item: ProtectedItem | undefined;
  let hello: Hello;
  let session: IntakeSession | undefined;
  try {
    try {
      const first = await withDeadline(clock, helloMillisecondsMax, frames.next(), () =>
        linkBroken(link.peerName, 'it did not say hello'),
      );
      if (first.done) return;
      hello = parseHello(first.value);
      item = checkHello(hello, link.peerName, itemOf);
      session = new IntakeSession(services, item, link, hello);
      const limit = new AbortController();
      await withDeadline(clock, readyMillisecondsMax, item.takeOver(session, limit.signal), () => {
        const late = processServerErrors.SpoolWriteFailed(hello.itemId, 'the spool is not ready yet');
        limit.abort(late);
        return late;
      });
    } catch (error) {
      const refusal = asLeewardError(error);
      log.warn('session-refused', { peer: link.peerName, code: refusal.code, summary: refusal.summary });
      await link.send(jsonFrame(FrameType.refused, refusedOf(refusal))).catch(() => {});
      link.close();
      return;
    }
    await session.run(frames);
  } catch (error) {
    log.warn('session-ended', { peer: link.peerName, error });
    link.close(asLeewardError(error));
  } finally {
    session?.ended();
    if (item && session) item.sessionEnded(session);
  }
}

function checkHello(
  hello: Hello,
  peerName: string,
  itemOf: (itemId: string) => ProtectedItem | undefined,
): ProtectedItem {
  if (peerName !== hello.itemId) throw processServerErrors.WrongCertificate(hello.itemId, peerName);
  const item = itemOf(hello.itemId);
  if (!item) throw processServerErrors.UnknownItem(hello.itemId);
  if (!hello.protocolVersions.includes(protocolVersion))
    throw processServerErrors.VersionNotSupported(hello.itemId);
  const assigned = new Set<string>(item.assignment.disks.map((disk) => disk.diskId));
  const offered = new Set<string>(hello.disks.map((disk) => disk.diskId));
  if (offered.size !== hello.disks.length)
    throw processServerErrors.DisksDoNotMatch(hello.itemId, 'one disk is named twice');
  for (const disk of hello.disks)
    if (!assigned.has(disk.diskId))
      throw processServerErrors.DisksDoNotMatch(hello.itemId, `${disk.diskId} is not protected`);
  // A bookmark must have every disk of the machine; a session without one of them could never place it.
  for (const diskId of assigned)
    if (!offered.has(diskId)) throw processServerErrors.DisksDoNotMatch(hello.itemId, `${diskId} is missing`);
  return item;
}

function refusedOf(error: LeewardError): Refused {
  const { code, summary, possibleCauses, recommendedAction, retry } = error;
  const { highestGeneration, receivedGeneration, receivedSequence } = error.context;
  const position =
    code === 'MachineReverted'
      ? {
          highestGeneration: Number(highestGeneration),
          generation: Number(receivedGeneration),
          sequence: Number(receivedSequence),
        }
      : undefined;
  return { code, summary, possibleCauses, recommendedAction, retry, ...(position ? { position } : {}) };
}

class IntakeSession implements LiveSession {
  readonly sessionId: string;
  readonly generation: number;
  readonly previous: Hello['previous'];
  readonly machineIdentity: string | undefined;
  readonly hostName: string;
  readonly #services: Services;
  readonly #item: ProtectedItem;
  readonly #link: Link;
  readonly #hello: Hello;
  readonly #over = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  /** A walk has begun: perhaps a comparison, whose digests are to be fetched. */
  readonly #walkBell = new Bell();
  /**
   * Of each comparison that this session has begun: from where its digests go on. What lies there of another walk, or of this one
   * before the link broke, describes an older state: the sender must never get it.
   */
  readonly #digestsFrom = new Map<string, number>();
  /** Where the walk of each disk is, as the sender tells. */
  readonly #walkedBytes = new Map<number, number>();
  #gathering: Batch | undefined;
  #flushing: Promise<void> | undefined;
  /** More frames, before the first ones are handed to the journal. */
  #isAwaited = false;
  #failure: Error | undefined;

  constructor(services: Services, item: ProtectedItem, link: Link, hello: Hello) {
    this.sessionId = hello.sessionId;
    this.generation = hello.generation;
    this.previous = hello.previous;
    this.machineIdentity = hello.machineIdentity;
    this.hostName = hello.hostName;
    this.#services = services;
    this.#item = item;
    this.#link = link;
    this.#hello = hello;
  }

  async fence(error: LeewardError): Promise<void> {
    if (!this.#over.signal.aborted) {
      // `fenced` is for ever, whatever the error says; every other end says itself whether to come back.
      const type = error.code === 'SessionFenced' ? FrameType.fenced : FrameType.refused;
      // Not awaited: a peer that does not read must not hold up its successor.
      void this.#link.send(jsonFrame(type, refusedOf(error))).catch(() => {});
      this.#link.close();
      this.#over.abort(error);
    }
    await this.#finished.promise;
  }

  order(order: Order): void {
    // A peer that does not read will be told again.
    void this.#link
      .send(jsonFrame(FrameType.order, order, { generation: this.generation }))
      .catch((error: unknown) => this.#services.log.debug('order-not-sent', { error }));
  }

  ended(): void {
    this.#over.abort(this.#over.signal.reason ?? linkBroken(this.#link.peerName, 'the session is over'));
    this.#finished.resolve();
  }

  async run(frames: AsyncIterator<Frame>): Promise<void> {
    const receiver = new Receiver(this.#hello, this.#item.spool.disks);
    const welcome: Welcome = {
      protocolVersion,
      sessionId: this.sessionId,
      generation: this.generation,
      windowBytes: this.#services.limits.windowBytes,
      disks: receiver.disks.map(({ diskId, state, cause }) => ({
        diskId,
        state,
        ...(state === 'resync' && cause !== undefined ? { resyncCause: cause } : {}),
      })),
    };
    await this.#link.send(jsonFrame(FrameType.welcome, welcome, { generation: this.generation }));
    this.#services.log.info('session-welcomed', {
      protectedItemId: this.#hello.itemId,
      sessionId: this.sessionId,
      generation: this.generation,
    });
    const digests = this.#forwardDigests(receiver);
    try {
      await this.#receive(receiver, frames);
    } finally {
      // What was gathered and not flushed is not acknowledged: its sender has it in its map.
      this.#over.abort(linkBroken(this.#link.peerName, 'the session is over'));
      await this.#flushing?.catch(() => {});
      this.#gathering?.leave();
      await digests;
    }
  }

  async #receive(receiver: Receiver, frames: AsyncIterator<Frame>): Promise<void> {
    const { signal } = this.#over;
    for (;;) {
      const next = await abortable(frames.next(), signal);
      if (this.#failure) throw this.#failure;
      if (next.done) return await this.#drain();
      const arrived = next.value;
      const received = receiver.accept(arrived);
      if (received.kind === 'progress') this.#walkedBytes.set(arrived.diskIndex, received.progress.doneBytes);
      else if (received.kind === 'resync-begin') {
        this.#walkedBytes.set(received.diskIndex, received.begin.fromBytes);
        this.#digestsFrom.set(received.begin.resyncId, received.begin.fromBytes);
        this.#walkBell.wake();
        if (received.begin.fromBytes === 0) this.#item.comparisonBegan(received.begin.diskId);
      }
      const sizeBytes = headerBytes + arrived.payload.byteLength;
      await this.#waitForRoom(sizeBytes);
      let batch = this.#gathering;
      if (
        batch &&
        (batch.used + sizeBytes > batch.buffer.byteLength ||
          batch.frames === this.#services.limits.partFramesMax)
      ) {
        await this.#submit();
        batch = undefined;
      }
      batch ??= await this.#newBatch(sizeBytes);
      // From here to the end of the copy nothing waits: the flusher sees a batch only between frames.
      this.#gathering = batch;
      encodeHeader(arrived).copy(batch.buffer, batch.used);
      batch.buffer.set(arrived.payload, batch.used + headerBytes);
      batch.used += sizeBytes;
      batch.frames += 1;
      batch.lastSequence = arrived.sequence;
      batch.disksAfter = [...receiver.disks];
      if (received.kind === 'bookmark') batch.bookmark = received.bookmark.takenAt;
      batch.closeAfter = received.kind === 'bookmark' || received.kind === 'resync-begin';
      if (batch.closeAfter) await this.#submit();
      else if (!this.#flushing && !this.#isAwaited)
        void this.#submitSoon().catch((error: Error) => this.#fail(error));
    }
  }

  /** A machine sends what it has drained in one go: a moment later more of it is here, and one sync serves all of it. */
  async #submitSoon(): Promise<void> {
    this.#isAwaited = true;
    await pause(this.#services.clock, gatherMilliseconds, this.#over.signal);
    this.#isAwaited = false;
    if (!this.#flushing && !this.#over.signal.aborted) await this.#submit();
  }

  async #waitForRoom(sizeBytes: number): Promise<void> {
    const { space } = this.#services;
    const { itemId } = this.#hello;
    // What is gathered or under way is not charged yet: at most two batches, for which the caller's margin has room.
    if (space.hasRoom(itemId, sizeBytes)) return;
    if (!this.#flushing && this.#gathering) await this.#submit();
    this.#item.raise(
      processServerErrors.SpoolFull(
        `${space.usedBy(itemId)} bytes of this machine, ${space.usedBytes} in all`,
      ),
    );
    await space.waitForRoom(itemId, sizeBytes, this.#over.signal);
  }

  async #newBatch(sizeBytes: number): Promise<Batch> {
    const { limits, batches, freeBatches, clock } = this.#services;
    const leave = await batches.enter(this.#over.signal);
    // Used again and again: getting 4 MiB anew for each fsync cost more than everything else here together.
    const pooled = sizeBytes <= limits.batchBytesMax ? freeBatches.pop() : undefined;
    const buffer = pooled ?? Buffer.allocUnsafeSlow(Math.max(limits.batchBytesMax, sizeBytes));
    return {
      buffer,
      leave: () => {
        if (buffer.byteLength === limits.batchBytesMax) freeBatches.push(buffer);
        leave();
      },
      sinceMilliseconds: clock.monotonic(),
      used: 0,
      frames: 0,
      lastSequence: 0,
      disksAfter: [],
      closeAfter: false,
      bookmark: undefined,
    };
  }

  /** Hands the gathered batch to the journal once the one before it is durable. */
  async #submit(): Promise<void> {
    while (this.#flushing) await this.#flushing;
    if (this.#failure) throw this.#failure;
    const batch = this.#gathering;
    if (!batch) return;
    this.#gathering = undefined;
    this.#flushing = this.#flush(batch).then(
      () => {
        this.#flushing = undefined;
        // What was gathered meanwhile goes next, even when nothing more arrives.
        if (this.#gathering && !this.#failure) void this.#submit().catch((error: Error) => this.#fail(error));
      },
      (error: Error) => {
        this.#flushing = undefined;
        this.#fail(error);
      },
    );
  }

  async #flush(batch: Batch): Promise<void> {
    const { clock, limits, figures } = this.#services;
    const { signal } = this.#over;
    try {
      for (let isFirst = true; ; isFirst = false)
        try {
          await this.#item.spool.append(batch.buffer.subarray(0, batch.used), this.#hello, batch.disksAfter, {
            closeAfter: batch.closeAfter,
            lastSequence: batch.lastSequence,
            frames: batch.frames,
            nowMilliseconds: clock.monotonic(),
            check: () => {
              signal.throwIfAborted();
              if (!this.#item.isLive(this)) throw processServerErrors.SessionFenced(this.#hello.itemId, 0);
            },
          });
          break;
        } catch (error) {
          // The batch is still here, whole: it waits for room like everybody else.
          if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
          if (isFirst) this.#item.raise(processServerErrors.SpoolFull('the file system has no room'));
          await pause(clock, limits.fullDiskMilliseconds, signal);
          signal.throwIfAborted();
        }
    } finally {
      batch.leave();
    }
    figures.received(batch.used);
    figures.acknowledged((clock.monotonic() - batch.sinceMilliseconds) / 1000);
    this.#item.journalled(batch.bookmark);
    await this.#link.send(
      frame(FrameType.ack, { sequence: batch.lastSequence, generation: this.generation }),
    );
  }

  async #drain(): Promise<void> {
    while (this.#gathering || this.#flushing) {
      await this.#submit();
      await this.#flushing;
      if (this.#failure) throw this.#failure;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#over.abort(error);
  }

  /**
   * While a comparison is open, its digests are fetched from cache storage, handed to the sender not too far ahead of its
   * walk, and deleted. A session that breaks in between asks anew with its next resync-begin. What is there is taken
   * without a pause; a look that finds nothing makes the next one later.
   */
  async #forwardDigests(receiver: Receiver): Promise<void> {
    const { clock, limits } = this.#services;
    const { signal } = this.#over;
    /** Walks of earlier sessions that were not ended. */
    const abandoned = receiver.disks.map((disk) => disk.resync?.resyncId);
    const done = new Set<string>();
    /** Fetched and too early, one a disk. */
    const held = new Map<string, DigestPart>();
    let waitMilliseconds = digestPollMillisecondsMin;
    let isFailing = false;
    while (!signal.aborted) {
      let isOpen = false;
      let hasForwarded = false;
      try {
        for (const [diskIndex, disk] of receiver.disks.entries()) {
          const resyncId = disk.resync?.kind === 'resync' ? disk.resync.resyncId : undefined;
          if (resyncId === undefined || done.has(resyncId) || !this.#digestsFrom.has(resyncId)) continue;
          isOpen = true;
          const forwarded = await this.#forwardPartsOf(resyncId, diskIndex, held);
          hasForwarded ||= forwarded !== 'none';
          if (forwarded !== 'all') continue;
          done.add(resyncId);
          // The vault answers in order: what it had to say of the walk before is there by now.
          const before = abandoned[diskIndex];
          if (before !== undefined && before !== resyncId) await this.#deleteDigests(before);
        }
        isFailing = false;
      } catch (error) {
        if (signal.aborted) return;
        // Once: it is tried again every second for as long as cache storage is away.
        if (!isFailing)
          this.#services.log.warn('digests-failed', { protectedItemId: this.#hello.itemId, error });
        isFailing = true;
        if (hasCode(error, 'CorruptSegment')) {
          this.#item.raise(asLeewardError(error));
          this.#fail(error as Error);
          return;
        }
      }
      if (!isOpen || hasForwarded) waitMilliseconds = digestPollMillisecondsMin;
      if (hasForwarded) continue;
      if (!isOpen) await this.#walkBell.wait(signal);
      else {
        await pause(clock, Math.min(waitMilliseconds, limits.digestPollMilliseconds), signal);
        waitMilliseconds *= 2;
      }
    }
  }

  /** `all`: the last one has gone out. */
  async #forwardPartsOf(
    resyncId: string,
    diskIndex: number,
    held: Map<string, DigestPart>,
  ): Promise<'none' | 'some' | 'all'> {
    const { store } = this.#services;
    const { signal } = this.#over;
    let forwarded: 'none' | 'some' = 'none';
    const prefix = digestPrefix(this.#hello.itemId, resyncId);
    for (const { key } of await store.list(prefix, { limit: 16 }, signal)) {
      const part = held.get(key) ?? (await this.#fetchPart(key));
      // One of another place is older than the walk's beginning here; the vault puts another one in its place.
      if (!part || part.offsetBytes !== this.#digestsFrom.get(resyncId)) continue;
      if (part.offsetBytes > (this.#walkedBytes.get(diskIndex) ?? 0) + digestsAheadBytes) {
        held.set(key, part);
        return forwarded;
      }
      held.delete(key);
      await this.#forward(part, diskIndex);
      this.#digestsFrom.set(resyncId, part.offsetBytes + part.lengthBytes);
      await store.delete(key, signal);
      forwarded = 'some';
      if (key.includes('-last.')) return 'all';
    }
    return forwarded;
  }

  async #deleteDigests(resyncId: string): Promise<void> {
    const { store } = this.#services;
    const { signal } = this.#over;
    for (;;) {
      const page = await store.list(digestPrefix(this.#hello.itemId, resyncId), { limit: 100 }, signal);
      for (const { key } of page) await store.delete(key, signal);
      if (page.length === 0) return;
    }
  }

  async #fetchPart(key: string): Promise<DigestPart | undefined> {
    const stream = await this.#services.store.get(key, this.#over.signal);
    if (!stream) return undefined;
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      pieces.push(piece);
      sizeBytes += piece.byteLength;
      if (sizeBytes > digestObjectBytesMax) throw linkBroken(key, 'a digest object that is too long');
    }
    return decodeDigestPart(await openObject(this.#item.itemKey, key, Buffer.concat(pieces)), key);
  }

  async #forward(part: DigestPart, diskIndex: number): Promise<void> {
    const stepBytes = (digestFrameBytes / digestBytes) * digestChunkBytes;
    for (let at = 0; at < part.lengthBytes; at += stepBytes) {
      const from = (at / digestChunkBytes) * digestBytes;
      await this.#link.send(
        frame(FrameType.digests, {
          diskIndex,
          generation: this.generation,
          offsetBytes: part.offsetBytes + at,
          lengthBytes: Math.min(stepBytes, part.lengthBytes - at),
          payload: part.digests.subarray(from, from + digestFrameBytes),
        }),
      );
    }
  }
}
