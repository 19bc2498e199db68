/**
 * The smallest mobility service that keeps all rules: sessions, drain and outlet are the real ones; what decides (when to walk,
 * to drain, to place a bookmark) is written here once more, as plainly as possible. It checks the process server and the
 * vault with a sender that is known to be right, whatever the real control room does meanwhile.
 */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { Arena } from '../../src/disk/arena.ts';
import type { Disk } from '../../src/disk/disk.ts';
import { extentBytesMax } from '../../src/disk/disk.ts';
import type { Capture, CaptureLoss } from '../../src/mobility-service/capture/capture.ts';
import { ChangeMap } from '../../src/mobility-service/capture/change-map.ts';
import type { Freezer } from '../../src/mobility-service/consistency/freezer.ts';
import { ReadPace, type Sent, sendExtents } from '../../src/mobility-service/drain/drain.ts';
import { Session } from '../../src/mobility-service/outlet/session.ts';
import type { BookmarkMethod } from '../../src/model/bookmark.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../../src/platform/files.ts';
import type { Log } from '../../src/platform/log.ts';
import type { Random } from '../../src/platform/random.ts';
import { FrameType } from '../../src/protocol/replication/frame.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import { digestBytes, digestChunkBytes, Hello } from '../../src/protocol/replication/messages.ts';

export interface StandInParts {
  readonly itemId: string;
  readonly diskIds: readonly string[];
  readonly disks: readonly Disk[];
  readonly capture: Capture;
  readonly freezer: Freezer;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Log;
  readonly bootId: string;
  dial(): Promise<Link>;
}

const stateFile = '/leeward/generation';
const passesMax = 6;

export async function runStandIn(parts: StandInParts): Promise<void> {
  await parts.files.makeFolder('/leeward');
  const service = new StandIn(parts);
  for (;;) {
    try {
      await service.session();
    } catch (error) {
      parts.log.warn('session over', { error });
      if (hasCode(error, 'SessionFenced', 'OldGeneration')) return;
    }
    await parts.clock.sleep(1000 + parts.random.fraction() * 2000);
  }
}

class StandIn {
  readonly #parts: StandInParts;
  readonly #arena = new Arena(2 * extentBytesMax);
  readonly #pace = new ReadPace();
  /** Nothing is known of what was written before this process began. */
  readonly #isTrusted: boolean[];
  #digests = new Map<string, Buffer>();

  constructor(parts: StandInParts) {
    this.#parts = parts;
    this.#isTrusted = parts.disks.map(() => false);
  }

  async session(): Promise<void> {
    const { parts } = { parts: this.#parts };
    const before = Number((await readWhole(parts.files, stateFile))?.toString() ?? '0');
    const generation = before + 1;
    await writeDurably(parts.files, stateFile, Buffer.from(String(generation)));
    this.#digests.clear();
    const session = await Session.open({
      link: await parts.dial(),
      clock: parts.clock,
      hello: Hello.parse({
        protocolVersions: [2],
        itemId: parts.itemId,
        sessionId: parts.random.uuid(),
        generation,
        bootId: parts.bootId,
        agentVersion: '0',
        hostName: 'simulated',
        disks: parts.diskIds.map((diskId, index) => ({
          diskId,
          sizeBytes: parts.disks[index]!.sizeBytes,
          name: `/dev/disk${index}`,
        })),
      }),
      listener: {
        digests: (diskIndex, offsetBytes, lengthBytes, digests) => {
          for (let at = 0, index = 0; at < lengthBytes; at += digestChunkBytes, index++)
            this.#digests.set(
              `${diskIndex}/${offsetBytes + at}`,
              digests.subarray(index * digestBytes, (index + 1) * digestBytes),
            );
        },
        ordered: () => {},
        acknowledged: () => {},
        ignored: () => {},
      },
    });
    parts.log.info('welcomed', { generation, disks: session.welcome.disks.map((disk) => disk.state) });
    try {
      await this.#replicate(session);
    } finally {
      for (const { diskIndex, offsetBytes, lengthBytes } of session.unacknowledged()) {
        const map = this.#emptyMap(diskIndex);
        map.mark(offsetBytes, lengthBytes);
        parts.capture.restore(diskIndex, map);
      }
      await session.close();
    }
  }

  async #replicate(session: Session): Promise<void> {
    const { capture, clock } = this.#parts;
    const states = session.welcome.disks.map((disk) => disk.state);
    let nextBookmark = clock.monotonic() + 2000;
    for (;;) {
      session.throwIfOver();
      this.#lost((await capture.barrier()).losses);
      for (const [diskIndex, state] of states.entries()) {
        if (state === 'in-sync' && this.#isTrusted[diskIndex]) continue;
        const isWhole = await this.#walk(session, diskIndex, state);
        states[diskIndex] = isWhole ? 'in-sync' : state === 'in-sync' ? 'resync' : state;
      }
      await this.#pass(session);
      if (clock.monotonic() >= nextBookmark && states.every((state) => state === 'in-sync')) {
        await this.#bookmark(session);
        nextBookmark = clock.monotonic() + 8000;
      }
      await clock.sleep(400);
    }
  }

  #lost(losses: readonly CaptureLoss[]): boolean {
    for (const loss of losses)
      for (const diskIndex of this.#isTrusted.keys())
        if (loss.diskIndex === undefined || loss.diskIndex === diskIndex) this.#isTrusted[diskIndex] = false;
    return losses.length > 0;
  }

  /** True when the disk can be trusted afterwards. */
  async #walk(session: Session, diskIndex: number, state: string): Promise<boolean> {
    const { clock, diskIds, disks, random, log } = this.#parts;
    const disk = disks[diskIndex]!;
    const kind = state === 'empty' || state === 'initial' ? 'initial' : 'resync';
    const resyncId = random.uuid();
    const cause = kind === 'initial' ? 'InitialReplication' : 'UncleanShutdown';
    const common = { resyncId, diskId: diskIds[diskIndex]! };
    log.info('walk', { diskIndex, kind });
    // From here on capture is trusted again: what is lost later makes it untrusted anew.
    this.#isTrusted[diskIndex] = true;
    for (const key of this.#digests.keys()) if (key.startsWith(`${diskIndex}/`)) this.#digests.delete(key);
    await session.json(
      FrameType.resyncBegin,
      { ...common, kind, cause, fromBytes: 0, sizeBytes: disk.sizeBytes },
      diskIndex,
    );
    const chunks = Math.ceil(disk.sizeBytes / digestChunkBytes);
    let sentBytes = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const offsetBytes = chunk * digestChunkBytes;
      const lengthBytes = Math.min(digestChunkBytes, disk.sizeBytes - offsetBytes);
      while (kind === 'resync' && !this.#digests.has(`${diskIndex}/${offsetBytes}`)) {
        session.throwIfOver();
        // Changes go on meanwhile: the walk may wait for half an hour of retries.
        this.#lost((await this.#parts.capture.barrier()).losses);
        await this.#pass(session);
        await clock.sleep(500);
      }
      const digest = this.#digests.get(`${diskIndex}/${offsetBytes}`);
      if (digest) {
        const bytes = Buffer.alloc(lengthBytes);
        await disk.read(bytes, offsetBytes);
        if (createHash('sha256').update(bytes).digest().subarray(0, digestBytes).equals(digest)) continue;
      }
      const sent = await this.#send(session, diskIndex, [{ offsetBytes, lengthBytes }]);
      sentBytes += lengthBytes;
      if (sent.unreadable.length > 0) this.#isTrusted[diskIndex] = false;
    }
    if (!this.#isTrusted[diskIndex]) return false;
    await session.json(
      FrameType.resyncEnd,
      { ...common, comparedBytes: disk.sizeBytes, sentBytes },
      diskIndex,
    );
    return true;
  }

  /** Takes what is marked and sends it; false when something could not be read. */
  async #pass(session: Session): Promise<boolean> {
    const { capture, disks } = this.#parts;
    let isWhole = true;
    for (const diskIndex of disks.keys()) {
      const map = capture.take(diskIndex);
      try {
        const sent = await this.#send(session, diskIndex, map.extents(64 << 10));
        for (const { offsetBytes, lengthBytes } of sent.unreadable) {
          isWhole = false;
          const again = this.#emptyMap(diskIndex);
          again.mark(offsetBytes, lengthBytes);
          capture.restore(diskIndex, again);
        }
      } catch (error) {
        capture.restore(diskIndex, map);
        throw error;
      }
    }
    return isWhole;
  }

  #emptyMap(diskIndex: number): ChangeMap {
    return new ChangeMap(this.#parts.disks[diskIndex]!.sizeBytes);
  }

  #send(
    session: Session,
    diskIndex: number,
    extents: Iterable<{ offsetBytes: number; lengthBytes: number }>,
  ): Promise<Sent> {
    const { clock, disks } = this.#parts;
    const common = { session, clock, arena: this.#arena, pace: this.#pace };
    return sendExtents(extents, { ...common, disk: disks[diskIndex]!, diskIndex });
  }

  async #bookmark(session: Session): Promise<void> {
    const { capture, freezer } = this.#parts;
    for (let pass = 0; pass < passesMax; pass++) {
      if (!(await this.#pass(session))) return;
      const takenAt = this.#parts.clock.now();
      const { losses } = await capture.barrier();
      if (this.#lost(losses)) return;
      if (capture.pendingBytes() === 0) return this.#place(session, 'quiet', 0, takenAt);
    }
    try {
      await using freeze = await freezer.prepare();
      await freeze.freeze(2000);
      const takenAt = this.#parts.clock.now();
      const { losses } = await capture.barrier();
      const isWhole = await this.#pass(session);
      const { frozenMilliseconds } = await freeze.thaw();
      if (this.#lost(losses) || !isWhole) return;
      await this.#place(session, 'freeze', frozenMilliseconds, takenAt);
    } catch (error) {
      if (!hasCode(error, 'FreezeFailed', 'FreezeBusy', 'FreezeExpired')) throw error;
      this.#parts.log.info('no bookmark', { error });
    }
  }

  async #place(
    session: Session,
    method: z.infer<typeof BookmarkMethod>,
    frozenMilliseconds: number,
    takenAt: number,
  ): Promise<void> {
    const bookmarkId = this.#parts.random.uuid();
    this.#parts.log.info('bookmark', { bookmarkId, method });
    await session.json(FrameType.bookmark, {
      bookmarkId,
      type: 'CrashConsistent',
      method,
      takenAt: new Date(takenAt).toISOString(),
      frozenMilliseconds,
    });
  }
}
