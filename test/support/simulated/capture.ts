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
import { adoptMaps } from '../../../src/mobility-service/capture/adopt-maps.ts';
import type { Capture, CaptureLoss } from '../../../src/mobility-service/capture/capture.ts';
import {
  decodeCaptureState,
  encodeCaptureState,
  stateBytesMax,
} from '../../../src/mobility-service/capture/capture-state.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import type { CapturedDisk } from '../../../src/mobility-service/capture/trace-capture.ts';
import type { ResyncCause } from '../../../src/model/disk-state.ts';
import { type Files, readWhole, writeDurably } from '../../../src/platform/files.ts';
import { type Life, never, type Timeline } from './clock.ts';
import type { SimulatedDisk } from './disk.ts';
import type { SeededRandom } from './random.ts';

interface TraceEvent {
  /** What the kernel names it by: the place, whichever disk is there. */
  readonly deviceNumber: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export class SimulatedRing {
  writtenBytes = 0;
  dropNext = 0;
  isSilent = false;
  #events: TraceEvent[] = [];
  #losses: (Omit<CaptureLoss, 'diskIndex'> & { readonly deviceNumber?: number })[] = [];

  /** From now on what completes on this disk is recorded under this number. */
  attached(disk: SimulatedDisk, deviceNumber: number): void {
    disk.onCompleted = (offsetBytes, lengthBytes) => this.#record({ deviceNumber, offsetBytes, lengthBytes });
  }

  detached(disk: SimulatedDisk): void {
    disk.onCompleted = () => {};
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

  takeLosses(): (Omit<CaptureLoss, 'diskIndex'> & { readonly deviceNumber?: number })[] {
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
      if (!this.#losses.some((loss) => loss.deviceNumber === event.deviceNumber))
        this.#losses.push({
          cause: 'TraceEventsLost',
          detail: 'simulated: the ring was full',
          deviceNumber: event.deviceNumber,
        });
      return;
    }
    this.#events.push(event);
  }
}

export class SimulatedCapture implements Capture {
  readonly #ring: SimulatedRing;
  readonly #disks: readonly CapturedDisk[];
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #life: Life;
  readonly #maps: ChangeMap[];

  constructor(
    ring: SimulatedRing,
    timeline: Timeline,
    random: SeededRandom,
    life: Life,
    disks: readonly CapturedDisk[],
    maps = disks.map((disk) => new ChangeMap(disk.sizeBytes)),
  ) {
    this.#ring = ring;
    this.#disks = disks;
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
    const losses: CaptureLoss[] = this.#ring.takeLosses().flatMap(({ deviceNumber, ...loss }) => {
      if (deviceNumber === undefined) return [loss];
      const diskIndex = this.#indexOf(deviceNumber);
      return diskIndex < 0 ? [] : [{ ...loss, diskIndex }];
    });
    this.#readRing();
    losses.push(...this.#beyond.splice(0));
    for (const [diskIndex, disk] of this.#disks.entries()) {
      const changed = disk.look?.();
      if (changed) losses.push({ ...changed, diskIndex });
    }
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

  #isOver = false;

  /** The last act of a service that stops in good order. */
  async save(files: Files, bootId: string): Promise<void> {
    await this.#wait(0.05, 1);
    // What was lost and not yet told is lost for the next service, too: the ring keeps it.
    this.#readRing();
    this.#isOver = true;
    await writeState(files, bootId, this.#disks, this.#maps, true);
  }

  #indexOf(deviceNumber: number): number {
    return this.#disks.findIndex((disk) => disk.deviceNumber === deviceNumber);
  }

  /** A larger disk at that place has been written. */
  readonly #beyond: CaptureLoss[] = [];

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
    if (this.#isOver) return;
    for (const { deviceNumber, offsetBytes, lengthBytes } of this.#ring.takeEvents()) {
      const diskIndex = this.#indexOf(deviceNumber);
      if (diskIndex < 0) continue;
      if (offsetBytes + lengthBytes <= this.#maps[diskIndex]!.sizeBytes)
        this.#maps[diskIndex]!.mark(offsetBytes, lengthBytes);
      else
        this.#beyond.push({ cause: 'PassthroughCommands', detail: 'simulated: beyond the end', diskIndex });
    }
  }

  #wait(low: number, high: number): Promise<void> {
    if (this.#life.hasEnded) return never();
    return new Promise((resolve) => {
      this.#timeline.after(this.#random.range(low, high), resolve, this.#life);
    });
  }
}

const statePath = '/leeward/capture.state';

function writeState(
  files: Files,
  bootId: string,
  captured: readonly CapturedDisk[],
  maps: readonly ChangeMap[],
  clean: boolean,
): Promise<void> {
  const disks = captured.flatMap(({ path, deviceNumber, sizeBytes, identity }, index) =>
    deviceNumber === undefined ? [] : [{ path, deviceNumber, sizeBytes, identity, map: maps[index]! }],
  );
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
  disks: readonly CapturedDisk[],
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
  const adopted = cause ? undefined : adoptMaps(saved!.disks, disks);
  const capture = new SimulatedCapture(ring, timeline, random, life, disks, adopted?.maps);
  // From here on a death is an unclean one.
  await writeState(
    files,
    bootId,
    disks,
    disks.map((disk) => new ChangeMap(disk.sizeBytes)),
    false,
  );
  return { capture, startLosses: cause ? [{ cause, detail: 'simulated' }] : adopted!.losses };
}

/** For the plain sender, whose disks never come or go: the machine's disks, opened for one process. */
export function openAll(
  disks: readonly SimulatedDisk[],
  life: Life,
): { readonly disks: Disk[]; readonly captured: CapturedDisk[] } {
  return {
    disks: disks.map((disk) => disk.open(life)),
    captured: disks.map(({ sizeBytes }, index) => ({
      path: `/dev/disk${index}`,
      deviceNumber: index,
      sizeBytes,
    })),
  };
}
