/**
 * The life of replication: sessions one after the other, each with a new generation; what a welcome and the losses of
 * capture mean for each disk; what goes back into the maps when a session is over.
 *
 *     generation + 1, durable ─▶ dial ─▶ hello, welcome ─▶ plan walks ─▶ stream ─▶ restore what is not acknowledged ─┐
 *             ▲                                                                                                      │
 *             └──────── 1, 2, 4 … 30 s ◀── transient ───────────────────────────────────────────────────────────────┘
 *                                          permanent (refused, fenced): throws, and only a person brings it back
 */
import { Arena } from '../../disk/arena.ts';
import type { Disk } from '../../disk/disk.ts';
import type { Bookmark, BookmarkType } from '../../model/bookmark.ts';
import type { DiskState, ResyncCause } from '../../model/disk-state.ts';
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import type { ResyncProgress } from '../../model/progress.ts';
import { type Clock, pause, until, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { protocolVersion } from '../../protocol/replication/frame.ts';
import type { Link } from '../../protocol/replication/link.ts';
import type { Capture, CaptureLoss } from '../capture/capture.ts';
import { ChangeMap, type Extent } from '../capture/change-map.ts';
import type { Freezer } from '../consistency/freezer.ts';
import { ReadPace } from '../drain/drain.ts';
import type { Packer } from '../drain/pack.ts';
import { errors } from '../errors.ts';
import {
  farewellMilliseconds,
  frozenRestBytesMax,
  orderedBookmarkMilliseconds,
  reconnectMillisecondsMax,
  reconnectMillisecondsMin,
} from '../limits.ts';
import { Session } from '../outlet/session.ts';
import { Walk } from '../resync/walk.ts';
import { Health } from './health.ts';
import type { ServiceState } from './state.ts';
import { type BookmarkDue, type BookmarkPolicy, ordered, type ReplicatedDisk, Stream } from './stream.ts';

export interface ReplicationOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly state: ServiceState;
  readonly itemId: ProtectedItemId;
  readonly hostName: string;
  readonly agentVersion: string;
  /** What the machine is (`machine-identity.ts`). */
  readonly machineIdentity?: string | undefined;
  readonly disks: readonly { readonly diskId: ProtectedDiskId; readonly name: string; readonly disk: Disk }[];
  readonly capture: Capture;
  /** What capture lost before it began (`TraceCapture.startLosses`). */
  readonly startLosses?: readonly CaptureLoss[];
  readonly freezer?: Freezer | undefined;
  /** Default: in this thread. */
  readonly packer?: Packer | undefined;
  readonly policy: BookmarkPolicy;
  readonly bytesPerSecondMax?: number | undefined;
  readonly dial: () => Promise<Link>;
  readonly swapRanges?: () => Promise<readonly (readonly Extent[])[]>;
  /** Called before a freeze and after the thaw; resolves when no file is being written. */
  readonly onStill?: (isStill: boolean) => Promise<void>;
}

export interface ReplicationStatus {
  readonly connection: 'connecting' | 'connected' | 'stopped';
  readonly generation: number;
  readonly pendingBytes: number;
  readonly unacknowledgedBytes: number;
  readonly disks: readonly { diskId: string; name: string; sizeBytes: number; isInSync: boolean }[];
  readonly progress: readonly ResyncProgress[];
  readonly lastBookmark?: Bookmark | undefined;
  readonly lastHealthEvent?: HealthEvent | undefined;
  readonly lastError?: string | undefined;
}

const noSwap = async (): Promise<readonly (readonly Extent[])[]> => [];

export class Replication {
  readonly #options: ReplicationOptions;
  readonly #disks: ReplicatedDisk[];
  readonly #health: Health;
  /** Memory once touched is not given back, so all reading shares one. Extents take whole pages, and free memory falls into
   * pieces: an eighth on top. */
  readonly #arena = new Arena(frozenRestBytesMax + (frozenRestBytesMax >> 3));
  readonly #due: BookmarkDue;
  readonly #receiverStates: DiskState[] = [];
  #connection: ReplicationStatus['connection'] = 'connecting';
  #session: Session | undefined;
  #lastError: string | undefined;
  #lastBookmark: Bookmark | undefined;
  #underWayBookmarks: { bookmark: Bookmark; sequence: number; takenMonotonic: number }[] = [];
  /** When the newest durable one was taken that will do for each type. Not by its date: the wall clock may be stepped. */
  readonly #durableMonotonic = {
    CrashConsistent: Number.NEGATIVE_INFINITY,
    ApplicationConsistent: Number.NEGATIVE_INFINITY,
  };
  #hasHadSession = false;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.#health = new Health(options.clock, options.log);
    this.#disks = options.disks.map(({ diskId, name, disk }, index) => ({
      index,
      diskId,
      name,
      disk,
      pace: new ReadPace(),
      skip: [],
      walk: undefined,
      unreadable: undefined,
      retryAt: Number.NEGATIVE_INFINITY,
    }));
    this.#due = {
      crash: Number.NEGATIVE_INFINITY,
      application:
        options.policy.applicationConsistentSeconds > 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
    };
  }

  get health(): Health {
    return this.#health;
  }

  status(): ReplicationStatus {
    const now = this.#options.clock.monotonic();
    return {
      connection: this.#connection,
      generation: this.#options.state.generation,
      pendingBytes: this.#options.capture.pendingBytes(),
      unacknowledgedBytes: this.#session?.unacknowledgedBytes ?? 0,
      disks: this.#disks.map(({ diskId, name, disk, walk }) => ({
        diskId,
        name,
        sizeBytes: disk.sizeBytes,
        isInSync: walk === undefined && this.#session !== undefined,
      })),
      progress: this.#disks.flatMap(({ walk }) => (walk && !walk.hasEnded ? [walk.progress(now)] : [])),
      lastBookmark: this.#lastBookmark,
      lastHealthEvent: this.#health.latest,
      lastError: this.#lastError,
    };
  }

  /** Takes a bookmark as soon as it can be had, and resolves when all up to it is durable at the process server. */
  async takeBookmark(type: BookmarkType, stop: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const askedMonotonic = clock.monotonic();
    const kind = type === 'CrashConsistent' ? 'crash' : 'application';
    this.#due[kind] = ordered;
    let session = this.#session;
    await until(
      clock,
      orderedBookmarkMilliseconds,
      () => {
        stop.throwIfAborted();
        if (this.#durableMonotonic[type] >= askedMonotonic) return true;
        // One that was on its way when its session ended may not have arrived.
        if (this.#session !== session) this.#due[kind] = ordered;
        session = this.#session;
        return undefined;
      },
      () => errors.BookmarkNotTaken(type, orderedBookmarkMilliseconds / 1000, this.#lastError),
    );
  }

  /** Replicates until `stop`; then drains briefly. Throws what only a person can mend. Everything that is not durable at
   * the other side is back in capture's maps when it settles. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, random, log, startLosses } = this.#options;
    let failures = 0;
    try {
      await this.#distrust(startLosses ?? [], true);
      while (!stop.aborted) {
        this.#connection = 'connecting';
        try {
          await this.#oneSession(stop, () => {
            failures = 0;
          });
          return;
        } catch (error) {
          if (stop.aborted) return;
          this.#lastError = error instanceof Error ? error.message : String(error);
          if (!(error instanceof LeewardError) || error.retry === 'permanent') throw error;
          if (error.code === 'MachineReverted') await this.#reverted(error);
          // Disks and maps have the old size: whoever made them makes them anew.
          if (error.code === 'DiskResized') throw error;
          log.info('session-ended', { code: error.code, summary: error.summary });
        }
        const ladder = Math.min(
          reconnectMillisecondsMax,
          reconnectMillisecondsMin * 2 ** Math.min(failures, 10),
        );
        failures += 1;
        await pause(clock, ladder * (1 - random.fraction() / 4), stop);
      }
    } finally {
      this.#connection = 'stopped';
      await this.#options.state.save();
    }
  }

  async #oneSession(stop: AbortSignal, onGood: () => void): Promise<void> {
    const { clock, random, state, log } = this.#options;
    const generation = await state.nextGeneration();
    const link = await this.#options.dial();
    if (stop.aborted) {
      link.close();
      return;
    }
    let stream: Stream | undefined;
    const session = await Session.open({
      link,
      clock,
      bytesPerSecondMax: this.#options.bytesPerSecondMax,
      hello: {
        protocolVersions: [protocolVersion],
        itemId: this.#options.itemId,
        sessionId: random.uuid(),
        generation,
        bootId: state.bootId,
        ...this.#previous(),
        agentVersion: this.#options.agentVersion,
        hostName: this.#options.hostName,
        ...(this.#options.machineIdentity === undefined
          ? {}
          : { machineIdentity: this.#options.machineIdentity }),
        disks: this.#disks.map(({ diskId, name, disk }) => ({ diskId, name, sizeBytes: disk.sizeBytes })),
      },
      listener: {
        digests: (index, offset, length, digests) =>
          this.#disks[index]?.walk?.digests(offset, length, digests),
        ordered: (order) => stream?.ordered(order),
        acknowledged: (sequence) => {
          // Something went through: the next break is a new one.
          onGood();
          this.#acknowledged(sequence);
        },
        ignored: (what) => log.info('ignored', { what }),
      },
    });
    this.#session = session;
    this.#hasHadSession = true;
    this.#connection = 'connected';
    this.#underWayBookmarks = [];
    log.info('session-opened', { generation, sessionId: session.welcome.sessionId });
    try {
      await this.#plan(session);
      stream = new Stream(
        {
          ...this.#options,
          disks: this.#disks,
          arena: this.#arena,
          freezer: this.#options.freezer,
          health: this.#health,
          swapRanges: this.#options.swapRanges ?? noSwap,
          onStill: this.#options.onStill ?? (async () => {}),
          onLosses: (losses) => this.#distrust(losses, false),
          onResyncOrdered: (diskIds) =>
            this.#distrust(
              this.#disks.flatMap(({ diskId, index }) =>
                diskIds.includes(diskId)
                  ? [{ cause: 'Requested' as const, detail: 'asked for', diskIndex: index }]
                  : [],
              ),
              false,
            ),
          onBookmark: (bookmark, sequence, takenMonotonic) => {
            this.#lastError = undefined;
            this.#underWayBookmarks.push({ bookmark, sequence, takenMonotonic });
            this.#acknowledged(session.acknowledgedSequence);
          },
        },
        session,
        this.#due,
      );
      await stream.run(stop);
      // A good-bye: what is under way becomes durable, if that takes not too long.
      await withDeadline(clock, farewellMilliseconds, session.acknowledgement(session.sequence), () =>
        errors.Stopping(),
      );
      await this.#settle();
      await session.close();
    } catch (error) {
      // A session that was ended by us has its own reason; one that the other side ended has the truth in its failure.
      const reason = session.over.aborted ? (session.over.reason as Error) : (error as Error);
      await session.close(reason);
      throw reason;
    } finally {
      this.#session = undefined;
      state.ended({ generation, sequence: session.sequence });
      this.#restore(session);
      for (const disk of this.#disks) disk.walk?.pause();
      await this.#settle();
    }
  }

  /** What the hello says of the session before. A service that has just started and trusts no disk compares all of them
   * whatever the receiver has; one that goes on in the middle of a walk does not. */
  #previous(): { previous?: { generation: number; sequence: number } } {
    const { state } = this.#options;
    const trustsNone = this.#disks.every(({ diskId }) => state.untrustedCause(diskId) !== undefined);
    if (!state.previous || (!this.#hasHadSession && trustsNone)) return {};
    return { previous: state.previous };
  }

  /** The receiver has what this service never sent: the machine was set back, and the maps with it. */
  async #reverted(refusal: LeewardError): Promise<void> {
    const { highestGeneration, receivedGeneration, receivedSequence } = refusal.context;
    await this.#options.state.reverted(
      this.#disks.map(({ diskId }) => diskId),
      {
        highestGeneration: Number(highestGeneration),
        previous: { generation: Number(receivedGeneration), sequence: Number(receivedSequence) },
      },
    );
    for (const disk of this.#disks) {
      this.#health.raise(errors.ChangesLost(disk.name, 'MachineReverted', refusal.summary), {
        diskId: disk.diskId,
      });
      disk.walk = undefined;
    }
  }

  #acknowledged(sequence: number): void {
    for (const { diskId, walk } of this.#disks) {
      if (!walk || walk.isEndDurable) continue;
      walk.acknowledged(sequence);
      if (!walk.isEndDurable) continue;
      const now = this.#options.clock.monotonic();
      const { doneBytes, sentBytes } = walk.progress(now);
      const seconds = Math.round(now - walk.plan.startedMonotonic) / 1000;
      this.#options.log.info('walk-ended', { diskId, seconds, doneBytes, sentBytes });
    }
    while (this.#underWayBookmarks[0] && this.#underWayBookmarks[0].sequence <= sequence) {
      const { bookmark, takenMonotonic } = this.#underWayBookmarks.shift()!;
      this.#lastBookmark = bookmark;
      // An application-consistent point is a crash-consistent one, too.
      this.#durableMonotonic.CrashConsistent = takenMonotonic;
      if (bookmark.type === 'ApplicationConsistent')
        this.#durableMonotonic.ApplicationConsistent = takenMonotonic;
    }
  }

  /** Walks whose end is durable are over. */
  async #settle(): Promise<void> {
    for (const disk of this.#disks)
      if (disk.walk?.isEndDurable) {
        await this.#options.state.trust(disk.diskId);
        disk.walk = undefined;
      }
  }

  #restore(session: Session): void {
    const maps = new Map<number, ChangeMap>();
    for (const { diskIndex, offsetBytes, lengthBytes } of session.unacknowledged()) {
      const map = maps.get(diskIndex) ?? new ChangeMap(this.#disks[diskIndex]!.disk.sizeBytes);
      maps.set(diskIndex, map);
      map.mark(offsetBytes, lengthBytes);
    }
    for (const [diskIndex, map] of maps) this.#options.capture.restore(diskIndex, map);
    for (const disk of this.#disks) {
      if (!disk.unreadable) continue;
      this.#options.capture.restore(disk.index, disk.unreadable);
      disk.unreadable = undefined;
    }
  }

  /** What the welcome says and what we know ourselves, put together: which disks have to be walked. */
  async #plan(session: Session): Promise<void> {
    const { state } = this.#options;
    await this.#settle();
    for (const disk of this.#disks) {
      const { state: theirs, resyncCause } = session.welcome.disks[disk.index]!;
      this.#receiverStates[disk.index] = theirs;
      const ours = state.untrustedCause(disk.diskId);
      const { walk } = disk;
      if (walk) {
        if (theirs === 'in-sync' && walk.isEndSent && resyncCause === undefined) {
          // The end was durable, only its acknowledgement was lost.
          await state.trust(disk.diskId);
          disk.walk = undefined;
          continue;
        }
        // The first frame of the walk is durable and nothing has happened to either side: go on where it was.
        if (walk.isBegunDurably && theirs === walk.plan.kind && isSame(resyncCause, walk.plan.cause))
          continue;
      }
      const cause = ours ?? resyncCause ?? walk?.plan.cause;
      if (theirs === 'in-sync' && cause === undefined) {
        disk.walk = undefined;
        continue;
      }
      const isInitial = theirs === 'empty' || theirs === 'initial';
      disk.walk = this.#newWalk(
        disk,
        isInitial ? 'initial' : 'resync',
        isInitial ? 'InitialReplication' : (cause ?? 'UncleanShutdown'),
        theirs === 'empty',
      );
    }
  }

  #newWalk(
    disk: ReplicatedDisk,
    kind: Walk['plan']['kind'],
    cause: ResyncCause,
    isOtherSideEmpty: boolean,
  ): Walk {
    const { clock, random, log } = this.#options;
    log.info('walk-planned', { diskId: disk.diskId, kind, cause });
    return new Walk({
      resyncId: random.uuid(),
      diskIndex: disk.index,
      diskId: disk.diskId,
      kind,
      cause,
      sizeBytes: disk.disk.sizeBytes,
      isOtherSideEmpty,
      startedAt: new Date(clock.now()).toISOString(),
      startedMonotonic: clock.monotonic(),
    });
  }

  /**
   * These disks must be compared with their copies. A live session is ended for it, with a transient error: the next
   * welcome starts the walks. Digests that are still on their way for an older walk can then not be taken for the new one's.
   */
  async #distrust(losses: readonly CaptureLoss[], isStart: boolean): Promise<void> {
    if (losses.length === 0) return;
    // A walk that is over explains nothing any more: what comes now has its own cause.
    if (!isStart) await this.#settle();
    let told: LeewardError | undefined;
    for (const loss of losses)
      for (const disk of this.#disks) {
        if (loss.diskIndex !== undefined && loss.diskIndex !== disk.index) continue;
        const error =
          loss.cause === 'DiskResized'
            ? errors.DiskResized(disk.name, disk.disk.sizeBytes, loss.detail)
            : errors.ChangesLost(disk.name, loss.cause, loss.detail);
        told = loss.cause === 'DiskResized' ? error : (told ?? error);
        // A first start has lost nothing yet, and an order is no fault.
        const isNews = !(isStart && loss.cause === 'InitialReplication') && loss.cause !== 'Requested';
        if (isNews) this.#health.raise(error, { diskId: disk.diskId });
        await this.#options.state.distrust(disk.diskId, loss.cause);
        disk.walk = undefined;
      }
    if (!isStart && told) throw told;
  }
}

function isSame(theirs: ResyncCause | undefined, ours: ResyncCause): boolean {
  return theirs === undefined || theirs === ours;
}
