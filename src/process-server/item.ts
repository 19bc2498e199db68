/**
 * One protected item at the process server: its spool, the loops that refine and upload, and the one session that may
 * write. Loops of all items share the server's gates, so memory and disk do not grow with their number.
 *
 * A lost state (no state.json, or a journal whose acknowledged part is damaged) is answered once, before any session is
 * welcomed. Which of two things is it?
 *  - cache storage has no manifest of the item: the vault never had anything; disks are `empty`, the first copy follows.
 *  - it has one: disks are `resync` with `ProcessServerLostState`. Claiming `empty` here would make the sender skip the
 *    comparison, and whatever it then leaves out would stay stale at the vault for ever. Claiming `resync` wrongly only costs
 *    a comparison with an empty disk. So whenever it cannot be known, it is `resync`, and while cache storage cannot be asked
 *    the session waits. This relies on the log processor leaving the newest manifest of an item in cache storage.
 * The new chain's number is the next session's generation, which must be above every chain and generation found there.
 *
 * The same way goes whoever is asked to: the vault orders a new chain when it cannot go on with this one, or when somebody
 * wants a comparison (`protocol/cache/request.ts`). The session ends and comes back, the chain is given up with all that
 * is not uploaded of it, every disk is `resync`. The request is removed only after that is durable; a crash in between
 * leaves a request for a chain that is no more, which is dropped.
 *
 * A request that names a disk ends no chain: the machine is told over its session, distrusts that disk and comes back to
 * compare it. The request goes when the comparison has begun, since from then on the machine remembers; a crash before
 * that has it told again.
 */
import type { ResyncCause } from '../model/disk-state.ts';
import type { HealthEvent } from '../model/health.ts';
import { compareMachines, lastingIdentity, parseMachineIdentity } from '../model/machine-identity.ts';
import { type Clock, pause } from '../platform/clock.ts';
import { hasCode, type LeewardError } from '../platform/errors.ts';
import type { Files } from '../platform/files.ts';
import type { Log } from '../platform/log.ts';
import type { Random } from '../platform/random.ts';
import { ladderDelay } from '../platform/retry.ts';
import { Throttle } from '../platform/throttle.ts';
import type { CacheStore } from '../protocol/cache/cache-store.ts';
import { manifestMacKey, requestMacKey } from '../protocol/cache/keys.ts';
import { decodeManifest, manifestBytesMax, manifestPrefix } from '../protocol/cache/manifest.ts';
import {
  decodeSigned,
  encodeSigned,
  getSigned,
  HaltNotice,
  haltNoticeKey,
  putSigned,
  ResyncRequest,
  requestPrefix,
  requestsListMax,
} from '../protocol/cache/request.ts';
import type { FrameSealer } from '../protocol/cache/segment.ts';
import type { ProcessServerAssignment } from '../protocol/control/assignment.ts';
import {
  type Hello,
  heartbeatMilliseconds,
  type Order as SenderOrder,
  silenceMillisecondsMax,
} from '../protocol/replication/messages.ts';
import { isFromPast, type ReceivedDisk } from '../protocol/replication/receiver.ts';
import { asLeewardError, healthOf, processServerErrors } from './errors.ts';
import type { ProcessServerFigures } from './figures.ts';
import { Bell, type Gate } from './gate.ts';
import type { ProcessServerLimits } from './limits.ts';
import { uploadDelay, uploadMayRetry, uploadRecord } from './outlet/to-cache.ts';
import { refinePart } from './refine/refine.ts';
import { ItemSpool, type OutgoingRecord } from './spool/item-spool.ts';
import type { SpoolSpace } from './spool/space.ts';

/** How many parts up to a size are refined at once, of all items. */
export interface RefineLane {
  readonly gate: Gate;
  readonly partBytesMax: number;
  /** Memory for parts that nobody uses just now (`refine.ts`); never more than the gate has places. */
  readonly freeParts: Buffer[];
}

/** What all items share. */
export interface Services {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: CacheStore;
  readonly sealer: FrameSealer;
  readonly limits: ProcessServerLimits;
  readonly space: SpoolSpace;
  readonly figures: ProcessServerFigures;
  readonly batches: Gate;
  /** Batch buffers that nobody uses just now; never more than the gate has places. */
  readonly freeBatches: Buffer[];
  readonly refines: RefineLane;
  /** Of small parts, which wait for the disk rather than for a processor: more at once, and never behind large ones. */
  readonly smallRefines: RefineLane;
  readonly uploads: Gate;
  readonly spoolFolder: string;
}

/** The session that may write, as its item sees it. */
export interface LiveSession {
  readonly sessionId: string;
  readonly generation: number;
  /** As its hello has it. */
  readonly previous: Hello['previous'];
  /** What its machine is; undefined: of a version that does not say it. */
  readonly machineIdentity: string | undefined;
  readonly hostName: string;
  /**
   * Ends the session; resolves when it will not write any more. After `SessionFenced` the machine never comes back by
   * itself: another one has taken over. After anything else it does as the error says.
   */
  fence(error: LeewardError): Promise<void>;
  /** Asks the machine for something; nobody says whether it got there. */
  order(order: SenderOrder): void;
}

export interface ItemStatus {
  readonly itemId: string;
  readonly name: string;
  readonly session: { readonly sessionId: string; readonly generation: number } | null;
  readonly chain: number | null;
  readonly sequence: number;
  readonly lastBookmark: string | null;
  readonly backlogBytes: number;
  readonly disks: readonly ReceivedDisk[];
  readonly halted: string | null;
}

interface Order {
  readonly key: string;
  readonly request: ResyncRequest;
}

/** A disk that is to be compared in the chain that is. */
interface WantedComparison {
  readonly diskId: ReceivedDisk['diskId'];
  /** The session that the machine was told in. */
  readonly toldIn: LiveSession;
  hasBegun: boolean;
}

export class ProtectedItem {
  assignment: ProcessServerAssignment;
  readonly itemKey: Uint8Array;
  readonly spool: ItemSpool;
  readonly #services: Services;
  readonly #log: Log;
  readonly #throttle: Throttle;
  readonly #stop = new AbortController();
  readonly #refineBell = new Bell();
  readonly #outletBell = new Bell();
  readonly #health: HealthEvent[] = [];
  #running: Promise<unknown> = Promise.resolve();
  #ready = Promise.withResolvers<void>();
  #isReady = false;
  #session: LiveSession | undefined;
  /** Live when somebody from its past came for the first time. */
  #disputed: { readonly session: LiveSession; readonly sinceMilliseconds: number } | undefined;
  #halted: LeewardError | undefined;
  /** A chain that is to be given up: the refine loop does it, between two parts. */
  #order: Order | undefined;
  /** By the keys of their requests. */
  readonly #comparisons = new Map<string, WantedComparison>();
  /** What is left of this chain and those before it is not uploaded any more. */
  #abandonedThroughChain = 0;
  /** Ends the outlet's wait for the next try. */
  #hurry = new AbortController();
  #isStoreSilent = false;
  #toldOfCopy = Number.NEGATIVE_INFINITY;
  #lastBookmark: string | undefined;

  constructor(services: Services, assignment: ProcessServerAssignment, itemKey: Uint8Array) {
    this.assignment = assignment;
    this.itemKey = itemKey;
    this.#services = services;
    this.#log = services.log.with({ protectedItemId: assignment.itemId });
    this.#throttle = new Throttle(services.clock, assignment.uploadBytesPerSecondMax);
    this.#ready.promise.catch(() => {});
    this.spool = new ItemSpool({
      files: services.files,
      folder: `${services.spoolFolder}/${assignment.itemId}`,
      itemId: assignment.itemId,
      space: services.space,
      partBytesMax: services.limits.partBytesMax,
      partFramesMax: services.limits.partFramesMax,
    });
  }

  /** Starts the item's loops; they run until `close`. */
  start(): void {
    this.#running = this.#run();
  }

  /** Ends the session and the loops; what is in the spool stays there. */
  async close(): Promise<void> {
    await this.#session?.fence(processServerErrors.ServerStopping(this.assignment.itemId));
    this.#stop.abort(processServerErrors.ServerStopping(this.assignment.itemId));
    await this.#running;
    if (this.#isReady) await this.spool.close();
  }

  /** What its machine is, from now on. */
  expect(machineIdentity: string | undefined): void {
    const { machineIdentity: _, ...assignment } = this.assignment;
    this.assignment = machineIdentity === undefined ? assignment : { ...assignment, machineIdentity };
  }

  get status(): ItemStatus {
    return {
      itemId: this.assignment.itemId,
      name: this.assignment.name,
      session: this.#session
        ? { sessionId: this.#session.sessionId, generation: this.#session.generation }
        : null,
      chain: this.#isReady ? this.spool.state.chain : null,
      sequence: this.#isReady ? this.spool.state.tip.sequence : 0,
      lastBookmark: this.#lastBookmark ?? null,
      backlogBytes: this.spool.backlogBytes,
      disks: this.spool.disks,
      halted: this.#halted?.summary ?? null,
    };
  }

  /** True when everything that arrived is in cache storage. */
  get isDrained(): boolean {
    return (
      this.#isReady &&
      this.spool.openPart === undefined &&
      this.spool.closedParts.length === 0 &&
      this.spool.outgoing.length === 0
    );
  }

  /**
   * Makes `session` the one that may write: its generation durable, the older one fenced and quiet. Throws
   * `OldGeneration`, `MachineCopied`, `ItemHalted`, or what may pass; nothing has changed then.
   */
  async takeOver(session: LiveSession, signal: AbortSignal): Promise<void> {
    if (this.#halted) throw this.#halted;
    const { itemId, failedOver } = this.assignment;
    if (failedOver) throw processServerErrors.FailedOver(itemId, failedOver.at);
    await abortable(this.#ready.promise, signal);
    // A session must not be told states that are about to go: before and after its turn, since orders come at any time.
    this.#refuseWhileOrdered();
    this.#refuseOtherMachine(session);
    this.#refuseFromPast(session);
    const { machineIdentity } = session;
    await this.spool.acceptGeneration(
      session.generation,
      machineIdentity === undefined ? undefined : lastingIdentity(machineIdentity),
    );
    this.#refuseWhileOrdered();
    const before = this.#session;
    this.#session = session;
    await before?.fence(processServerErrors.SessionFenced(this.assignment.itemId, session.generation));
    this.#refineBell.wake();
  }

  /**
   * A machine that was reverted with its memory goes on with change maps of the past: what it wrote since, and took back,
   * is marked nowhere. It is told what is known here, and comes back distrusting all its disks. Its own old connection may
   * seem alive until the silence is noticed; who is still connected after that is another machine, and the newcomer a copy
   * of it, which only a person can settle.
   */
  #refuseFromPast({ previous }: LiveSession): void {
    const { itemId } = this.assignment;
    const { received, state } = this.spool;
    if (!isFromPast(previous, received)) return;
    const live = this.#session;
    if (!live) throw processServerErrors.MachineReverted(itemId, state.highestGeneration, received!);
    this.#dispute(live);
    throw processServerErrors.OldGeneration(itemId, previous!.generation, received!.generation);
  }

  /** Throws `SessionStillLive` for as long as the live session may be a connection that nobody has given up yet. */
  #dispute(live: LiveSession): void {
    const now = this.#services.clock.monotonic();
    if (this.#disputed?.session !== live) this.#disputed = { session: live, sinceMilliseconds: now };
    if (now - this.#disputed.sinceMilliseconds < silenceMillisecondsMax + 2 * heartbeatMilliseconds)
      throw processServerErrors.SessionStillLive(this.assignment.itemId);
  }

  /**
   * A copy of the machine has its certificate, its generation and its disks' ids. Before it can move the generation or end a
   * session, what it runs on is looked at: its hardware must be that of the item's machine, and while a session is live, a
   * newcomer must be of the same run of the same kernel, since no machine runs twice at once.
   */
  #refuseOtherMachine(session: LiveSession): void {
    const { itemId } = this.assignment;
    const { hostName } = session;
    const mine = parseMachineIdentity(session.machineIdentity);
    // Of an earlier version, or a later one: it is treated as before there were identities.
    if (!mine) return;
    const assigned = parseMachineIdentity(this.assignment.machineIdentity);
    const known = assigned ?? parseMachineIdentity(this.spool.state.machineIdentity);
    const likeness = known ? compareMachines(known, mine) : 'same';
    if (likeness === 'other')
      throw this.#copied(
        session,
        `its board, network cards and disks are others (it is ${lastingIdentity(session.machineIdentity!)})`,
      );
    // Where a configuration server says what the machine is, it decides what is left open.
    if (likeness === 'unsure' && assigned) throw processServerErrors.MachineChanged(itemId, hostName);
    const live = this.#session;
    const theirs = parseMachineIdentity(live?.machineIdentity);
    if (!live || !theirs || theirs.instance === mine.instance) return;
    this.#dispute(live);
    throw this.#copied(session, `${live.hostName} is connected, and both run at the same time`);
  }

  #copied(session: LiveSession, why: string): LeewardError {
    const { itemId } = this.assignment;
    const { clock, limits } = this.#services;
    const error = processServerErrors.MachineCopied(itemId, session.hostName, why);
    const now = clock.monotonic();
    // It may come again and again; the vault is told once an hour.
    if (this.#toldOfCopy + limits.copyToldMilliseconds <= now) {
      this.#toldOfCopy = now;
      this.raise(error);
    }
    return error;
  }

  #refuseWhileOrdered(): void {
    if (this.#order)
      throw processServerErrors.ResyncOrdered(this.assignment.itemId, this.#order.request.cause);
  }

  isLive(session: LiveSession): boolean {
    return this.#session === session;
  }

  sessionEnded(session: LiveSession): void {
    if (this.#session === session) this.#session = undefined;
  }

  /** Something became durable in the journal. */
  journalled(bookmark: string | undefined): void {
    if (bookmark !== undefined) this.#lastBookmark = bookmark;
    this.#refineBell.wake();
  }

  /** The machine walks this disk from its beginning. */
  comparisonBegan(diskId: ReceivedDisk['diskId']): void {
    for (const wanted of this.#comparisons.values()) if (wanted.diskId === diskId) wanted.hasBegun = true;
  }

  raise(error: LeewardError): void {
    this.#log.warn('health', { code: error.code, summary: error.summary });
    this.#health.push(healthOf(error, this.#services.clock.now()));
    if (this.#health.length > this.#services.limits.healthEventsMax) this.#health.shift();
    this.#refineBell.wake();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      await this.#prepare();
      if (signal.aborted) return;
      this.#isReady = true;
      this.#ready.resolve();
      await Promise.all([this.#refineLoop(), this.#outletLoop(), this.#requestLoop()]);
    } catch (error) {
      if (signal.aborted) return;
      await this.#halt(error);
    } finally {
      this.#ready.reject(signal.reason ?? this.#halted);
    }
  }

  async #prepare(): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt++)
      try {
        await this.spool.recover();
        if (this.spool.isStateMissing) await this.#adoptChain();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, 'SpoolDamaged')) {
          this.raise(asLeewardError(error));
          await this.#loseState();
          return;
        }
        this.raise(asLeewardError(error));
        await pause(this.#services.clock, uploadDelay(attempt), signal);
      }
  }

  /** There is no state: is the item new, or was it lost? See above. */
  async #adoptChain(): Promise<void> {
    const { store } = this.#services;
    const { signal } = this.#stop;
    const { itemId, disks } = this.assignment;
    const prefix = manifestPrefix(itemId);
    let last: string | undefined;
    for (;;) {
      const page = await store.list(
        prefix,
        { limit: 1000, ...(last === undefined ? {} : { after: last }) },
        signal,
      );
      if (page.length === 0) break;
      last = page.at(-1)!.key;
    }
    const hasOutgoing = this.spool.outgoing.length > 0;
    if (last === undefined && !hasOutgoing) {
      await this.spool.beginAnew(0, []);
      return;
    }
    let highest = last === undefined ? 0 : Number(last.slice(prefix.length, prefix.length + 16));
    if (last !== undefined) {
      const stream = await store.get(last, signal);
      const pieces: Buffer[] = [];
      let size = 0;
      if (stream)
        for await (const piece of stream as AsyncIterable<Buffer>) {
          size += piece.byteLength;
          if (size > manifestBytesMax) break;
          pieces.push(piece);
        }
      try {
        const manifest = decodeManifest(Buffer.concat(pieces), manifestMacKey(this.itemKey), last);
        highest = Math.max(highest, manifest.generation);
      } catch (error) {
        // The chain's number is known from its key; its last generation may then be claimed again by a sender that never
        // went above it, which the vault's own check of chains still refuses.
        this.raise(asLeewardError(error));
      }
    }
    this.raise(processServerErrors.SpoolDamaged('the state of this item is gone'));
    await this.spool.beginAnew(highest, this.#untrusted(disks.map((disk) => disk.diskId)));
  }

  async #loseState(): Promise<void> {
    const known = this.spool.state.disks.map((disk) => disk.diskId);
    const disks = known.length > 0 ? known : this.assignment.disks.map((disk) => disk.diskId);
    await this.spool.beginAnew(this.spool.state.highestGeneration, this.#untrusted(disks));
  }

  #untrusted(
    diskIds: readonly ReceivedDisk['diskId'][],
    cause: ResyncCause = 'ProcessServerLostState',
  ): ReceivedDisk[] {
    return diskIds.map((diskId) => ({ diskId, sizeBytes: 0, state: 'resync', cause }));
  }

  /** Asks cache storage what the vault wants; that it answers at all is also a sign of life for the outlet. */
  async #requestLoop(): Promise<void> {
    const { clock, limits } = this.#services;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // A machine that is away cannot be compared: its requests wait for it.
      if (this.#session || this.#halted || this.#isStoreSilent)
        try {
          await this.#lookForRequests(signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#log.debug('requests-not-read', { error });
        }
      await pause(
        clock,
        this.#isStoreSilent ? limits.lifeSignMilliseconds : limits.requestPollMilliseconds,
        signal,
      );
    }
  }

  async #lookForRequests(signal: AbortSignal): Promise<void> {
    const { store } = this.#services;
    const { itemId } = this.assignment;
    const found = await store.list(requestPrefix(itemId), { limit: requestsListMax }, signal);
    if (this.#isStoreSilent) {
      this.#isStoreSilent = false;
      this.#hurry.abort();
    }
    for (const { key } of found) {
      if (this.#order) return;
      const object = await getSigned(store, key, signal);
      if (!object) continue;
      let request: ResyncRequest | undefined;
      try {
        request = decodeSigned(ResyncRequest, object, requestMacKey(this.itemKey), key);
      } catch (error) {
        this.raise(asLeewardError(error));
      }
      const { chain } = this.spool.state;
      // No chain: it has been given up already, and the next session begins a new one whose disks are all untrusted.
      if (!request || request.itemId !== itemId || chain === null || request.chain < chain) {
        this.#comparisons.delete(key);
        await store.delete(key, signal);
        continue;
      }
      if (request.diskId !== undefined) {
        await this.#haveCompared(key, request.diskId, signal);
        continue;
      }
      this.#order = { key, request };
      this.#refineBell.wake();
    }
  }

  async #haveCompared(key: string, diskId: ReceivedDisk['diskId'], signal: AbortSignal): Promise<void> {
    const wanted = this.#comparisons.get(key);
    if (wanted?.hasBegun) {
      await this.#services.store.delete(key, signal);
      this.#comparisons.delete(key);
      return;
    }
    const session = this.#session;
    // It ends its session when it is told, so that it hears of it in the next one or has begun.
    if (session === undefined || wanted?.toldIn === session) return;
    this.#comparisons.set(key, { diskId, toldIn: session, hasBegun: false });
    this.#log.info('comparison-ordered', { diskId });
    session.order({ order: 'resync', diskId });
  }

  /** Gives the chain up, as ordered. Throws what may pass; then the order stands. */
  async #beginAsOrdered(order: Order): Promise<void> {
    const { request, key } = order;
    const { chain, highestGeneration } = this.spool.state;
    const ordered = processServerErrors.ResyncOrdered(this.assignment.itemId, request.cause);
    await this.#session?.fence(ordered);
    await this.spool.beginAnew(
      Math.max(highestGeneration, request.chain),
      this.#untrusted(
        this.assignment.disks.map((disk) => disk.diskId),
        request.cause,
      ),
    );
    // A chain that the vault cannot follow any more is not worth its upload; one that it can may have points in it.
    if (request.cause === 'ReplicaInvalid' || this.#halted)
      this.#abandonedThroughChain = Math.max(chain ?? 0, request.chain);
    this.#halted = undefined;
    this.#order = undefined;
    this.raise(ordered);
    this.#hurry.abort();
    this.#outletBell.wake();
    // When this fails, the next look finds a request for a chain that is no more.
    await this.#services.store.delete(key, this.#stop.signal).catch((error: unknown) => {
      this.#log.debug('request-not-deleted', { error });
    });
  }

  async #refineLoop(): Promise<void> {
    const { clock, limits, figures, refines, smallRefines, files, random, sealer } = this.#services;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#order) await this.#beginAsOrdered(this.#order);
        if (this.#partDueIn() <= 0) await this.spool.closeOpenPart();
        const part = this.spool.closedParts[0];
        if (!part) {
          await this.#ringOrDue();
          continue;
        }
        const lane = part.sizeBytes <= smallRefines.partBytesMax ? smallRefines : refines;
        const leave = await lane.gate.enter(signal);
        try {
          const health = this.#health.splice(0);
          try {
            const refined = await refinePart(
              {
                ...{ files, random, sealer, itemKey: this.itemKey, spool: this.spool, health },
                ...{ nowMilliseconds: clock.now(), healthEventsMax: limits.healthEventsMax },
                ...{ rooms: lane.freeParts, partBytesMax: lane.partBytesMax },
              },
              part,
            );
            figures.refined(refined.journalBytes, refined.logicalBytes, refined.record.bytes);
          } catch (error) {
            this.#health.unshift(...health);
            throw error;
          }
        } finally {
          leave();
        }
        failures = 0;
        this.#outletBell.wake();
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, 'SpoolDamaged')) {
          this.raise(asLeewardError(error));
          await this.#session?.fence(asLeewardError(error));
          await this.#loseState();
          continue;
        }
        const isFull = hasCode(error, 'ENOSPC', 'EDQUOT');
        if (failures++ === 0)
          this.raise(isFull ? processServerErrors.SpoolFull('no room for segments') : asLeewardError(error));
        await pause(clock, limits.fullDiskMilliseconds, signal);
      }
    }
  }

  /**
   * Milliseconds until the open part is old enough to be closed. A small one waits longer, unless there is news to go with it:
   * a segment, a manifest and the vault's look at them cost as much for 1 KiB as for 1 MiB, and without a bookmark, which
   * closes a part at once, nothing of it can become a recovery point.
   */
  #partDueIn(): number {
    const { clock, limits } = this.#services;
    const part = this.spool.openPart;
    if (!part) return Number.POSITIVE_INFINITY;
    const isSmall = part.sizeBytes < limits.smallPartBytes && this.#health.length === 0;
    const age = clock.monotonic() - part.sinceMilliseconds;
    return limits.partMillisecondsMax * (isSmall ? limits.smallPartPatience : 1) - age;
  }

  /** Until something is journalled or raised, or the open part is old enough to be closed. */
  async #ringOrDue(): Promise<void> {
    const { clock } = this.#services;
    const due = this.#partDueIn();
    if (due === Number.POSITIVE_INFINITY) {
      await this.#refineBell.wait(this.#stop.signal);
      return;
    }
    // A bookmark closes the open part: whoever waits for its point must not wait for the clock, too.
    const over = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, over.signal]);
    await Promise.race([this.#refineBell.wait(signal), pause(clock, Math.max(due, 1), signal)]);
    over.abort();
  }

  async #outletLoop(): Promise<void> {
    const { clock, uploads, files, store, figures } = this.#services;
    const { signal } = this.#stop;
    let attempt = 0;
    while (!signal.aborted) {
      const name = this.spool.outgoing[0];
      if (name === undefined || this.#halted) {
        await this.#outletBell.wait(signal);
        continue;
      }
      this.#hurry = new AbortController();
      let record: OutgoingRecord | undefined;
      try {
        const leave = await uploads.enter(signal);
        try {
          record = await this.spool.readRecord(name);
          const parts = { files, store, spool: this.spool, throttle: this.#throttle, itemKey: this.itemKey };
          if (record.manifest.chain > this.#abandonedThroughChain)
            await uploadRecord({ ...parts, sent: (bytes) => figures.sent(bytes) }, record, signal);
          await this.spool.confirmed(name, record);
          if (attempt > 0) this.#log.info('upload-resumed', { attempt });
        } finally {
          leave();
        }
        attempt = 0;
        this.#isStoreSilent = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!uploadMayRetry(error)) {
          // A chain that was given up may end in a conflict: nobody will read it.
          if (record && record.manifest.chain !== this.spool.state.chain)
            this.#abandonedThroughChain = record.manifest.chain;
          else await this.#haltUntilOrdered(error);
          continue;
        }
        const transient = asLeewardError(error);
        const wait = transient.retry === 'transient' ? uploadDelay(attempt) : ladderDelay(5);
        if (attempt === 0) this.raise(transient);
        this.#log.warn('upload-failed', { attempt, waitMilliseconds: wait, error });
        attempt++;
        this.#isStoreSilent = transient.code === 'CacheStoreUnreachable';
        await pause(clock, wait, AbortSignal.any([signal, this.#hurry.signal]));
      }
    }
  }

  /**
   * Another writer is on this chain: nothing more is taken in or sent until somebody has settled it and orders a new chain.
   * The vault is told by a notice of its own, since the chain can carry no news any more.
   */
  async #haltUntilOrdered(error: unknown): Promise<void> {
    const { itemId } = this.assignment;
    const { clock, store } = this.#services;
    const halted = processServerErrors.ItemHalted(itemId, asLeewardError(error).summary, error);
    this.#halted = halted;
    this.raise(halted);
    this.#log.error('item-halted', { error: halted });
    await this.#session?.fence(halted);
    const { chain } = this.spool.state;
    if (chain === null) return;
    const event = healthOf(halted, clock.now());
    const key = haltNoticeKey(itemId, chain);
    const notice: HaltNotice = { format: 'leeward-halt-notice/1', itemId, chain, event };
    try {
      await putSigned(
        store,
        key,
        encodeSigned(HaltNotice, notice, requestMacKey(this.itemKey), key),
        this.#stop.signal,
      );
    } catch (failure) {
      // Cache storage has just answered, so this is rare; the status and the log say it all the same.
      if (!this.#stop.signal.aborted) this.#log.warn('notice-not-put', { error: failure });
    }
  }

  async #halt(error: unknown): Promise<void> {
    const halted = processServerErrors.ItemHalted(
      this.assignment.itemId,
      asLeewardError(error).summary,
      error,
    );
    this.#halted = halted;
    this.raise(halted);
    this.#log.error('item-halted', { error: halted });
    await this.#session?.fence(halted);
    this.#stop.abort(halted);
  }
}

/** The promise's answer, or the signal's reason when it aborts first. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  return promise;
}
