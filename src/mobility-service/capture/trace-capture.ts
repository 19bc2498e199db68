/**
 * Capture through the kernel's trace rings: every completed write of a protected disk leaves an event in the ring of the
 * processor that completed it; here the events become marks in the disks' change maps.
 *
 *     write completes ─▶ ring of a CPU ─▶ poll or barrier ─▶ change map ─▶ take() by the drain
 *
 * Rules, each measured or read in the kernel (docs/ARCHITECTURE.md, "the byte path"):
 * - marked on completion, whether the write went well or not: a failed write may have changed part of its range;
 * - everything that is not a read is a write: discards are `D`, write-zeroes `N`;
 * - an event without length changes nothing (flushes); an event with length but without a place on the disk is a
 *   passthrough command that may have written anywhere: a loss of that disk;
 * - a ring that is full drops what is new and counts it: any counted event, and any page flagged `missed`, is a loss;
 * - somebody who writes to our control files, even for a moment, makes a loss;
 * - a canary, written every few seconds, must show up: silence is only believed when our own write was heard.
 *
 * The barrier: write a mark, then read every ring until it was empty once, or as many pages were read as it can hold. All
 * that had been in the rings when the mark was written has then been read, whatever new comes in. The mark itself proves
 * that the kernel records. A second pass a millisecond later catches an event whose writer interrupted another event's
 * writer on a far processor: it becomes visible only when the outer one is finished, a few microseconds later.
 *
 * No I/O of its own: rings, clock, files and canary are handed in.
 */
import { strict as assert } from 'node:assert';
import type { ResyncCause } from '../../model/disk-state.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { adoptMaps } from './adopt-maps.ts';
import type { Capture, CaptureLoss } from './capture.ts';
import { type CaptureState, decodeCaptureState, encodeCaptureState, stateBytesMax } from './capture-state.ts';
import { ChangeMap } from './change-map.ts';
import { captureErrors } from './errors.ts';
import { OpenDiscards } from './open-discards.ts';
import { noSector, type PageVisitor, RingPage } from './ring-page.ts';
import type { TraceRings } from './rings.ts';

export interface CapturedDisk {
  /** For people. */
  readonly path: string;
  /** In the kernel's encoding (`kernelDeviceNumber`). Undefined: the machine has no such disk now; it has a place and no map. */
  readonly deviceNumber: number | undefined;
  readonly sizeBytes: number;
  /** How the disk is known again after a restart (`model/disk-identity.ts`); without one its saved map is never used. */
  readonly identity?: string;
  /** Whether it is still what it was: the loss if it is not. Synchronous: it is asked under a freeze. */
  readonly look?: () => Pick<CaptureLoss, 'cause' | 'detail'> | undefined;
  /** See `open-discards.ts`; the rings then have a `queue` layout. */
  readonly hasRangedDiscards?: boolean;
}

export interface TraceCaptureOptions {
  readonly disks: readonly CapturedDisk[];
  /** The whole disk of a partition; for disks with ranged discards. */
  readonly wholeDeviceOf?: (deviceNumber: number) => number | undefined;
  /** Makes rings that record from now on. Called again after somebody changed them. */
  readonly makeRings: () => TraceRings;
  /** The rings that a clean stop left recording, which were set up for these devices. */
  readonly adoptRings?: (deviceNumbers: readonly number[]) => TraceRings | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `/proc/sys/kernel/random/boot_id`. */
  readonly bootId: string;
  /** Where maps are kept over a restart; without it a stop ends the recording. */
  readonly state?: { readonly files: Files; readonly path: string };
  readonly canary?: Canary;
  readonly canaryMilliseconds?: number;
  /** Takes what a person should know but no disk has to be compared for. */
  readonly report?: (error: LeewardError) => void;
  readonly pollMilliseconds?: number;
}

export interface Canary {
  /** For people: what is written. */
  readonly path: string;
  /** Writes something small and makes it durable on a watched disk. */
  readonly write: () => Promise<void>;
  /** On which of these disks (kernel encoding) its event must arrive; they must be among those the rings record. */
  readonly deviceNumbers: readonly number[];
}

/** 200 000 writes a second are 48 bytes × 10 000 = 470 KiB in 50 ms: a 1 MiB ring has room for two missed polls. */
const pollMillisecondsDefault = 50;
/** 128 pages are about 11 000 events, 5 ms; then the event loop gets its turn. */
const pagesAtOnce = 128;
const canaryMillisecondsDefault = 5_000;
/** The event is in the ring before the write's caller goes on; the rest is for an overloaded machine. */
const canaryPatienceMilliseconds = 2_000;
/** A person is told after so many in a row. */
const canaryFailuresMax = 3;
const barrierMilliseconds = 5_000;
/** A second at a stop, for discards to settle. */
const closingBarriersMax = 20;
/** Beyond this, further losses of one barrier say nothing new. */
const lossesMax = 100;
const sectorBytes = 512;
const letterR = 'R'.charCodeAt(0);
const letterW = 'W'.charCodeAt(0);
const letterD = 'D'.charCodeAt(0);

/** A writer of the state file for the canary: overwrites one small file in place, so that it never grows. */
export function fileCanary(files: Files, path: string, deviceNumbers: readonly number[]): Canary {
  let turn = 0;
  return {
    path,
    deviceNumbers,
    write: async () => {
      await using file = await files.open(path, 'create');
      await file.write(Buffer.from(`canary ${String(++turn).padStart(12)}\n`), 0);
      await file.sync();
    },
  };
}

interface RingProgress {
  pagesRead: number;
  timesEmpty: number;
}

export class TraceCapture implements Capture {
  /** What was lost before this object began: after a crash, a reboot, on the first start. */
  readonly startLosses: readonly CaptureLoss[];
  readonly #options: TraceCaptureOptions;
  readonly #maps: ChangeMap[];
  readonly #indexes: ReadonlyMap<number, number>;
  readonly #canaryDevices: ReadonlySet<number>;
  readonly #visitor: PageVisitor;
  /** By disk index, of those that have ranged discards. */
  readonly #discards: ReadonlyMap<number, OpenDiscards>;
  readonly #stopping = new AbortController();
  readonly #marks = new Set<string>();
  readonly #nonce: string;
  #rings: TraceRings;
  #page: RingPage;
  #progress = new Map<number, RingProgress>();
  #losses: CaptureLoss[] = [];
  #lostEvents: number;
  #loops: Promise<unknown> = Promise.resolve();
  #marksMade = 0;
  #writtenBytes = 0;
  #canariesSeen = 0;
  #closed = false;

  static async open(options: TraceCaptureOptions): Promise<TraceCapture> {
    const adopted = await adopt(options);
    const { rings, maps, losses, lostEvents } =
      'rings' in adopted
        ? adopted
        : { rings: options.makeRings(), maps: undefined, losses: adopted.losses, lostEvents: undefined };
    let capture: TraceCapture;
    try {
      capture = new TraceCapture(options, rings, maps, losses, lostEvents);
      await capture.#saveState(false);
    } catch (error) {
      rings.remove();
      throw error;
    }
    rings.watch((what) => capture.#lose('TracingChanged', what));
    capture.#loops = Promise.all([capture.#poll(), capture.#sing()]);
    return capture;
  }

  private constructor(
    options: TraceCaptureOptions,
    rings: TraceRings,
    maps: readonly ChangeMap[] | undefined,
    startLosses: readonly CaptureLoss[],
    lostEvents: number | undefined,
  ) {
    assert(options.disks.length > 0);
    this.#options = options;
    this.#rings = rings;
    this.#page = pageFor(rings);
    this.startLosses = startLosses;
    this.#maps = options.disks.map((disk, index) => maps?.[index] ?? new ChangeMap(disk.sizeBytes));
    this.#indexes = new Map(
      options.disks.flatMap(({ deviceNumber }, index) =>
        deviceNumber === undefined ? [] : [[deviceNumber, index]],
      ),
    );
    this.#canaryDevices = new Set(options.canary?.deviceNumbers ?? []);
    this.#nonce = options.random.uuid();
    this.#discards = new Map(
      options.disks.flatMap(({ hasRangedDiscards, sizeBytes }, index) =>
        hasRangedDiscards ? [[index, new OpenDiscards(sizeBytes)]] : [],
      ),
    );
    this.#lostEvents = lostEvents ?? lostEventsOf(rings);
    this.#resetProgress();
    this.#visitor = {
      completion: (device, sector, count, operation, isCommand) =>
        this.#completed(device, sector, count, operation, isCommand),
      discardQueued: (device, sector, count) => this.#discardQueued(device, sector, count),
      marker: (text) => {
        this.#marks.delete(text);
      },
    };
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  take(diskIndex: number): ChangeMap {
    const map = this.#maps[diskIndex];
    assert(map);
    this.#maps[diskIndex] = new ChangeMap(map.sizeBytes);
    return map;
  }

  restore(diskIndex: number, map: ChangeMap): void {
    const ours = this.#maps[diskIndex];
    assert(ours);
    // Both are in one memory, which may not have room for a copy: the larger one stays where it is.
    if (map.pieces <= ours.pieces) {
      ours.merge(map);
      return;
    }
    map.merge(ours);
    ours.clear();
    this.#maps[diskIndex] = map;
  }

  pendingBytes(diskIndex?: number): number {
    const maps = diskIndex === undefined ? this.#maps : [this.#maps[diskIndex]!];
    return maps.reduce((sum, map) => sum + map.markedBytes, 0);
  }

  async barrier(): Promise<{ readonly losses: readonly CaptureLoss[] }> {
    assert(!this.#closed, 'capture is closed');
    // A reader that fails (the instance was removed under us) is a loss like any other difference.
    let broken: string | undefined;
    try {
      // Where the settings are wrong already, waiting for the mark would only take time.
      if (this.#rings.differences().length === 0 && !(await this.#hearMark()))
        broken = captureErrors.BarrierTimedOut(barrierMilliseconds).summary;
      await this.#options.clock.sleep(1);
      await this.#readThrough();
      this.#countLosses();
      for (const [index, discards] of this.#discards) discards.settle(this.#maps[index]!);
    } catch (error) {
      broken = error instanceof Error ? error.message : String(error);
    }
    const differences = this.#rings.differences();
    if (broken !== undefined || differences.length > 0) {
      this.#lose('TracingChanged', [broken, ...differences].filter(Boolean).join('; '));
      this.#renewRings();
    }
    for (const [index, disk] of this.#options.disks.entries()) {
      const changed = disk.look?.();
      if (changed) this.#lose(changed.cause, changed.detail, index);
    }
    const losses = this.#losses;
    this.#losses = [];
    return { losses };
  }

  /** A clean stop: with a state file the kernel goes on recording for the successor; without one the recording ends.
   * What was taken and is not durable elsewhere must have been restored before. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#stopping.abort();
    await this.#loops;
    try {
      if (this.#options.state === undefined) return this.#rings.remove();
      const { losses } = await this.#lastBarrier();
      // What one disk lost is no reason to compare the others; the successor is told.
      const isClean = losses.every(({ diskIndex }) => diskIndex !== undefined);
      await this.#saveState(isClean, new Map(losses.map(({ diskIndex, cause }) => [diskIndex, cause])));
      this.#rings.close();
    } finally {
      this.#closed = true;
    }
  }

  /** A discard under way at the stop may complete unseen; most take milliseconds. */
  async #lastBarrier(): Promise<{ readonly losses: readonly CaptureLoss[] }> {
    const all: CaptureLoss[] = [];
    for (let turn = 0; ; turn++) {
      all.push(...(await this.barrier()).losses);
      const open = [...this.#discards].filter(([, discards]) => !discards.isEmpty);
      if (open.length === 0) return { losses: all };
      if (turn === closingBarriersMax) {
        const detail = 'discards were under way at the stop';
        return {
          losses: [
            ...all,
            ...open.map(([diskIndex]) => ({ cause: 'TraceEventsLost' as const, detail, diskIndex })),
          ],
        };
      }
      await this.#options.clock.sleep(50);
    }
  }

  /** Ends the recording for good: the disks are no longer protected. */
  async remove(): Promise<void> {
    this.#stopping.abort();
    await this.#loops;
    this.#closed = true;
    this.#rings.remove();
    if (this.#options.state) await this.#options.state.files.remove(this.#options.state.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #completed(device: number, sector: number, count: number, operation: number, isCommand: boolean): void {
    if (operation === letterR || (count === 0 && !isCommand)) return;
    if (this.#canaryDevices.has(device) && count > 0) this.#canariesSeen++;
    const index = this.#indexes.get(device);
    if (index === undefined) return;
    if (isCommand) {
      // Kernels up to 4.10 name a passthrough command's bytes; without data, or reading, it is harmless.
      if (operation === letterW)
        this.#lose('PassthroughCommands', 'a command wrote past the block layer', index);
      return;
    }
    const { path, sizeBytes } = this.#options.disks[index]!;
    if (sector === noSector || sector * sectorBytes >= sizeBytes) {
      const where = sector === noSector ? 'without a place' : `at sector ${sector}, beyond the end`;
      this.#lose('PassthroughCommands', `${path}: a command of ${count} sectors ${where}`, index);
      return;
    }
    const lengthBytes = count * sectorBytes;
    this.#writtenBytes += lengthBytes;
    this.#maps[index]!.mark(sector * sectorBytes, lengthBytes);
    if (operation === letterD) this.#discards.get(index)?.completed(lengthBytes);
  }

  #discardQueued(device: number, sector: number, count: number): void {
    if (count === 0) return;
    const whole = this.#options.wholeDeviceOf?.(device);
    for (const [index, discards] of this.#discards)
      if (whole === undefined)
        this.#lose('TraceEventsLost', `a discard of device ${device}, which is gone`, index);
      else if (whole === this.#options.disks[index]!.deviceNumber)
        discards.queued(sector * sectorBytes, count * sectorBytes);
  }

  /** Writes a mark and reads until it was seen, again and again while the rings are too full to take it. */
  async #hearMark(): Promise<boolean> {
    const { clock } = this.#options;
    const deadline = clock.monotonic() + barrierMilliseconds;
    const line = `leeward ${this.#nonce} ${++this.#marksMade}`;
    this.#marks.add(line);
    try {
      while (clock.monotonic() < deadline) {
        // A full ring refuses the mark (EBADF), as stopped tracing does: make room and try again until the deadline.
        try {
          this.#rings.mark(line);
        } catch (error) {
          if (!hasCode(error, 'EBADF')) throw error;
        }
        await this.#readThrough();
        if (!this.#marks.has(line)) return true;
        await clock.sleep(1);
      }
      return false;
    } finally {
      this.#marks.delete(line);
    }
  }

  /** Reads all that is in the rings now. */
  async #readThrough(): Promise<void> {
    const rings = this.#rings;
    const targets = rings.processors.map((processor) => {
      const { pagesRead, timesEmpty } = this.#progress.get(processor)!;
      return { processor, pagesRead: pagesRead + rings.pagesMax(processor), timesEmpty };
    });
    const isDone = ({ processor, pagesRead, timesEmpty }: (typeof targets)[number]): boolean => {
      const now = this.#progress.get(processor)!;
      return now.timesEmpty > timesEmpty || now.pagesRead >= pagesRead;
    };
    while (rings === this.#rings) {
      this.#readSlice();
      if (targets.every(isDone)) return;
      await this.#options.clock.sleep(0);
    }
  }

  /** One turn's worth of every ring; true when all are empty. */
  #readSlice(): boolean {
    let empty = true;
    const pagesEach = Math.max(8, Math.floor(pagesAtOnce / this.#rings.processors.length));
    for (const processor of this.#rings.processors) {
      const progress = this.#progress.get(processor)!;
      for (let pages = 0; ; pages++) {
        if (pages === pagesEach) {
          empty = false;
          break;
        }
        const lengthBytes = this.#rings.readPage(processor, this.#page.bytes);
        if (lengthBytes === 0) {
          progress.timesEmpty++;
          break;
        }
        const { missed, damaged } = this.#page.walk(lengthBytes, this.#visitor);
        progress.pagesRead++;
        if (missed) this.#lose('TraceEventsLost', `processor ${processor}: the kernel flagged missed events`);
        if (damaged) this.#lose('TraceEventsLost', `processor ${processor}: a page could not be understood`);
      }
    }
    return empty;
  }

  #countLosses(): void {
    const lostEvents = lostEventsOf(this.#rings);
    if (lostEvents !== this.#lostEvents)
      this.#lose('TraceEventsLost', `${lostEvents - this.#lostEvents} events found the ring full`);
    this.#lostEvents = lostEvents;
  }

  #lose(cause: ResyncCause, detail: string, diskIndex?: number): void {
    if (diskIndex === undefined) for (const discards of this.#discards.values()) discards.distrust();
    if (this.#losses.length >= lossesMax) return;
    if (
      this.#losses.some(
        (loss) => loss.cause === cause && loss.diskIndex === diskIndex && loss.detail === detail,
      )
    )
      return;
    this.#losses.push({ cause, detail, ...(diskIndex === undefined ? {} : { diskIndex }) });
  }

  /** After somebody changed them: fresh rings, so that the promise holds again from this barrier on. */
  #renewRings(): void {
    this.#rings.close();
    this.#rings = this.#options.makeRings();
    this.#page = pageFor(this.#rings);
    this.#lostEvents = lostEventsOf(this.#rings);
    this.#resetProgress();
    this.#rings.watch((what) => this.#lose('TracingChanged', what));
  }

  #resetProgress(): void {
    this.#progress = new Map(this.#rings.processors.map((each) => [each, { pagesRead: 0, timesEmpty: 0 }]));
  }

  async #poll(): Promise<void> {
    const { clock, pollMilliseconds = pollMillisecondsDefault } = this.#options;
    while (!this.#stopping.signal.aborted) {
      let empty = true;
      try {
        empty = this.#readSlice();
      } catch (error) {
        // The barrier reads too, finds the same, and makes new rings.
        this.#lose(
          'TracingChanged',
          `a ring cannot be read: ${error instanceof Error ? error.message : error}`,
        );
      }
      await pause(clock, empty ? pollMilliseconds : 0, this.#stopping.signal);
    }
  }

  async #sing(): Promise<void> {
    const { clock, log, canary, report, canaryMilliseconds = canaryMillisecondsDefault } = this.#options;
    if (!canary) return;
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      const before = this.#canariesSeen;
      try {
        await canary.write();
        failures = 0;
        const deadline = clock.monotonic() + canaryPatienceMilliseconds;
        await this.#readThrough();
        while (
          this.#canariesSeen === before &&
          clock.monotonic() < deadline &&
          !this.#stopping.signal.aborted
        ) {
          await pause(clock, 20, this.#stopping.signal);
          await this.#readThrough();
        }
        if (this.#canariesSeen === before && !this.#stopping.signal.aborted)
          this.#lose('CanaryMissing', 'our own write did not show up in the trace');
      } catch (error) {
        // A full or read-only file system says nothing about the trace.
        log.warn('canary-not-written', { error });
        if (++failures % canaryFailuresMax === 0)
          report?.(captureErrors.CanaryUnwritable(canary.path, failures, error));
      }
      await pause(clock, canaryMilliseconds, this.#stopping.signal);
    }
  }

  async #saveState(
    clean: boolean,
    lost: ReadonlyMap<number | undefined, ResyncCause> = new Map(),
  ): Promise<void> {
    const { state, disks, bootId } = this.#options;
    if (!state) return;
    await writeDurably(
      state.files,
      state.path,
      encodeCaptureState({
        clean,
        bootId,
        lostEvents: this.#lostEvents,
        // While running the maps are in memory only; an unclean stop loses them and says so.
        disks: disks.flatMap(({ path, deviceNumber, sizeBytes, identity }, index) =>
          deviceNumber === undefined
            ? []
            : [
                {
                  path,
                  deviceNumber,
                  sizeBytes,
                  map: clean ? this.#maps[index]! : new ChangeMap(sizeBytes),
                  lost: lost.get(index),
                  identity,
                },
              ],
        ),
      }),
    );
  }
}

/** What the last run left: its rings and maps when all is as it was, else why not. */
async function adopt(
  options: TraceCaptureOptions,
): Promise<
  | { rings: TraceRings; maps: ChangeMap[]; losses: CaptureLoss[]; lostEvents: number }
  | { losses: CaptureLoss[] }
> {
  const lost = (cause: ResyncCause, detail: string): { losses: CaptureLoss[] } => ({
    losses: [{ cause, detail }],
  });
  if (!options.state) return lost('InitialReplication', 'capture begins');
  const { files, path } = options.state;
  const content = await readWhole(files, path, stateBytesMax);
  if (!content) return lost('InitialReplication', 'there is no saved state');
  let state: CaptureState;
  try {
    state = decodeCaptureState(content, path);
  } catch (error) {
    options.log.warn('capture-state-invalid', { error });
    return lost('UncleanShutdown', error instanceof Error ? error.message : String(error));
  }
  if (state.bootId !== options.bootId) return lost('MachineRebooted', 'the machine was started anew');
  if (!state.clean) return lost('UncleanShutdown', 'the service ended without saving its maps');
  const rings = options.adoptRings?.(state.disks.map((disk) => disk.deviceNumber));
  if (!rings) return lost('TracingChanged', 'the trace instance is gone');
  const differences = rings.differences();
  // Disks that came or went since: the kernel changes filters without a gap, so that the others need not suffer.
  if (differences.length === 0)
    rings.record(
      options.disks.flatMap(({ deviceNumber }) => (deviceNumber === undefined ? [] : [deviceNumber])),
    );
  if (differences.length > 0) {
    rings.close();
    return lost('TracingChanged', differences.join('; '));
  }
  const losses: CaptureLoss[] = [];
  const lostEvents = lostEventsOf(rings);
  if (lostEvents !== state.lostEvents)
    losses.push({ cause: 'TraceEventsLost', detail: 'a ring was full while the service was stopped' });
  const adopted = adoptMaps(state.disks, options.disks);
  losses.push(...adopted.losses);
  const { maps } = adopted;
  return { rings, maps, losses, lostEvents };
}

function pageFor(rings: TraceRings): RingPage {
  const { page, completion, marker, queue } = rings.layouts;
  return new RingPage(page, completion, marker, queue);
}

function lostEventsOf(rings: TraceRings): number {
  return rings.processors
    .map((processor) => rings.counters(processor))
    .reduce((sum, each) => sum + each.overrun + each.commitOverrun + each.droppedEvents, 0);
}
