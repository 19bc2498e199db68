/**
 * The kernel's trace ring of a simulated machine, and the `Capture` that the mobility service reads it through.
 *
 * The ring belongs to the machine: it goes on recording while the service is down. The change maps belong to the service
 * and die with it, unless it stops in good order: then they are saved in the real format, with the boot they are of, and the
 * next service goes on with them (`openCapture`, after the rules of `trace-capture.ts`). An event enters the ring in the moment in which its write completes, and is read by the service some
 * time later (`barrier` reads everything that is there). Faults:
 *
 * - overflow (`overflow`): the next events are dropped, and the next barrier says so once (`TraceEventsLost`);
 * - the canary's event does not come (`silence`): events are dropped without a counter, as when somebody switched tracing
 *   off; the next barrier misses its own event and says so (`CanaryMissing`, all disks).
 *
 * There is no fault that loses events silently: the real capture's own tests stand for that.
 */
import type { Disk } from '../../../src/disk/disk.ts';
import type { Capture, CaptureLoss } from '../../../src/mobility-service/capture/capture.ts';
import {
  decodeCaptureState,
  encodeCaptureState,
  stateBytesMax,
} from '../../../src/mobility-service/capture/capture-state.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import type { ResyncCause } from '../../../src/model/disk-state.ts';
import { type Files, readWhole, writeDurably } from '../../../src/platform/files.ts';
import { type Life, never, type Timeline } from './clock.ts';
import type { SimulatedDisk } from './disk.ts';
import type { SeededRandom } from './random.ts';

interface TraceEvent {
  readonly diskIndex: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export class SimulatedRing {
  readonly disks: readonly SimulatedDisk[];
  writtenBytes = 0;
  dropNext = 0;
  isSilent = false;
  #events: TraceEvent[] = [];
  #losses: CaptureLoss[] = [];

  constructor(disks: readonly SimulatedDisk[]) {
    this.disks = disks;
    for (const [diskIndex, disk] of disks.entries())
      disk.onCompleted = (offsetBytes, lengthBytes) => this.#record({ diskIndex, offsetBytes, lengthBytes });
  }

  /** The next `count` events find no room. */
  overflow(count: number): void {
    this.dropNext += count;
  }

  /** Events are dropped without a trace until the next barrier finds its own event missing. */
  silence(): void {
    this.isSilent = true;
  }

  /** The machine booted: a new ring. */
  clear(): void {
    this.#events = [];
    this.#losses = [];
    this.dropNext = 0;
    this.isSilent = false;
    this.writtenBytes = 0;
  }

  /** As it is now; what is answered brings it back. */
  snapshot(): () => void {
    const events = [...this.#events];
    const losses = [...this.#losses];
    const { dropNext, isSilent, writtenBytes } = this;
    return () => {
      this.#events = [...events];
      this.#losses = [...losses];
      Object.assign(this, { dropNext, isSilent, writtenBytes });
    };
  }

  takeEvents(): TraceEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  takeLosses(): CaptureLoss[] {
    const losses = this.#losses;
    this.#losses = [];
    if (this.isSilent) {
      this.isSilent = false;
      losses.push({ cause: 'CanaryMissing', detail: 'simulated: its own event did not arrive' });
    }
    return losses;
  }

  #record(event: TraceEvent): void {
    this.writtenBytes += event.lengthBytes;
    if (this.isSilent) return;
    if (this.dropNext > 0) {
      this.dropNext--;
      if (!this.#losses.some((loss) => loss.diskIndex === event.diskIndex))
        this.#losses.push({
          cause: 'TraceEventsLost',
          detail: 'simulated: the ring was full',
          diskIndex: event.diskIndex,
        });
      return;
    }
    this.#events.push(event);
  }
}

export class SimulatedCapture implements Capture {
  readonly #ring: SimulatedRing;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #life: Life;
  readonly #maps: ChangeMap[];

  constructor(
    ring: SimulatedRing,
    timeline: Timeline,
    random: SeededRandom,
    life: Life,
    maps = ring.disks.map((disk) => new ChangeMap(disk.sizeBytes)),
  ) {
    this.#ring = ring;
    this.#timeline = timeline;
    this.#random = random;
    this.#life = life;
    this.#maps = maps;
    this.#readAlways();
  }

  get writtenBytes(): number {
    return this.#ring.writtenBytes;
  }

  async barrier(): Promise<{ readonly losses: readonly CaptureLoss[] }> {
    await this.#wait(0.05, 1);
    const losses = this.#ring.takeLosses();
    this.#readRing();
    await this.#wait(0.01, 0.5);
    return { losses };
  }

  take(diskIndex: number): ChangeMap {
    const map = this.#maps[diskIndex]!;
    this.#maps[diskIndex] = new ChangeMap(map.sizeBytes);
    return map;
  }

  restore(diskIndex: number, map: ChangeMap): void {
    this.#maps[diskIndex]!.merge(map);
  }

  pendingBytes(diskIndex?: number): number {
    if (diskIndex !== undefined) return this.#maps[diskIndex]!.markedBytes;
    return this.#maps.reduce((sum, map) => sum + map.markedBytes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The last act of a service that stops in good order. */
  async save(files: Files, bootId: string): Promise<void> {
    await this.#wait(0.05, 1);
    // What was lost and not yet told is lost for the next service, too: the ring keeps it.
    this.#readRing();
    await writeState(files, bootId, this.#maps, true);
  }

  /** The reader thread: it comes by every few milliseconds. */
  #readAlways(): void {
    this.#timeline.after(
      this.#random.range(1, 40),
      () => {
        this.#readRing();
        this.#readAlways();
      },
      this.#life,
    );
  }

  #readRing(): void {
    for (const { diskIndex, offsetBytes, lengthBytes } of this.#ring.takeEvents())
      this.#maps[diskIndex]!.mark(offsetBytes, lengthBytes);
  }

  #wait(low: number, high: number): Promise<void> {
    if (this.#life.hasEnded) return never();
    return new Promise((resolve) => {
      this.#timeline.after(this.#random.range(low, high), resolve, this.#life);
    });
  }
}

const statePath = '/leeward/capture.state';

function writeState(files: Files, bootId: string, maps: readonly ChangeMap[], clean: boolean): Promise<void> {
  const disks = maps.map((map, index) => ({
    path: `/dev/disk${index}`,
    deviceNumber: index,
    sizeBytes: map.sizeBytes,
    map,
  }));
  return writeDurably(files, statePath, encodeCaptureState({ clean, bootId, lostEvents: 0, disks }));
}

/** With the maps of the service before, when it stopped in good order and the machine runs since; else why not. */
export async function openCapture(
  parts: {
    readonly ring: SimulatedRing;
    readonly timeline: Timeline;
    readonly random: SeededRandom;
    readonly life: Life;
  },
  files: Files,
  bootId: string,
): Promise<{ readonly capture: SimulatedCapture; readonly startLosses: CaptureLoss[] }> {
  const { ring, timeline, random, life } = parts;
  await files.makeFolder('/leeward');
  const content = await readWhole(files, statePath, stateBytesMax);
  const saved = content && decodeCaptureState(content, statePath);
  const cause: ResyncCause | undefined = !saved
    ? 'InitialReplication'
    : saved.bootId !== bootId
      ? 'MachineRebooted'
      : saved.clean
        ? undefined
        : 'UncleanShutdown';
  const maps = cause ? undefined : saved!.disks.map(({ map }) => map);
  const capture = new SimulatedCapture(ring, timeline, random, life, maps);
  // From here on a death is an unclean one.
  await writeState(
    files,
    bootId,
    ring.disks.map((disk) => new ChangeMap(disk.sizeBytes)),
    false,
  );
  return { capture, startLosses: cause ? [{ cause, detail: 'simulated' }] : [] };
}

/** For the mobility service's constructor: the machine's disks, opened for one process. */
export function openAll(disks: readonly SimulatedDisk[], life: Life): Disk[] {
  return disks.map((disk) => disk.open(life));
}
