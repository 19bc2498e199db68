/**
 * Is this machine a copy of the one that its mobility service was enrolled on? A failover attaches a signed marker to the
 * machines that it makes. With its own item's marker the service keeps quiet: no site, no process server, no capture, until
 * the machine was started without it.
 *
 *     disks of 1 MiB ─ head ─┬─ own item, signed ─▶ waits, says so; looks again each minute
 *                            └─ anything else ───▶ an event, and goes on: who can attach a disk must not end protection
 */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, pause } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';
import { tryRun } from '../../platform/exec.ts';
import type { Log } from '../../platform/log.ts';
import {
  type FailoverMarker,
  isMarker,
  markerDiskBytes,
  markerHeadBytes,
  readMarker,
} from '../../protocol/control/failover-marker.ts';
import { errors } from '../errors.ts';
import { markerLookMilliseconds, markerSettleMilliseconds, youngMachineSeconds } from '../limits.ts';

/** Where the kernel shows its disks. */
export interface DiskRoots {
  readonly sys: string;
  readonly dev: string;
}

export const systemRoots: DiskRoots = { sys: '/sys/block', dev: '/dev' };

export interface MarkedAs {
  readonly itemId: string;
  /** Undefined: this machine was given none, and no marker counts. */
  readonly markerKey?: string | undefined;
  /** Its own id at its site, where it has one. */
  readonly machineId?: string | undefined;
}

export interface Markers {
  readonly own: FailoverMarker | undefined;
  /** Of those that do not count. */
  readonly others: readonly LeewardError[];
}

/** Heads of all disks that look like markers, by name. */
async function heads({ sys, dev }: DiskRoots): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const name of await readdir(sys).catch(() => [] as string[])) {
    // A loop device is made by the machine itself, and never by a hypervisor.
    if (/^(loop|ram|zram|dm-|md|sr|fd)/.test(name)) continue;
    try {
      const sectors = Number((await readFile(join(sys, name, 'size'), 'utf8')).trim());
      if (sectors * 512 !== markerDiskBytes) continue;
      await using disk = await open(join(dev, name), 'r');
      const head = Buffer.alloc(markerHeadBytes);
      const { bytesRead } = await disk.read(head, 0, head.byteLength, 0);
      if (bytesRead === head.byteLength && isMarker(head)) found.set(name, head);
    } catch (error) {
      // It went while it was looked at, or cannot be read: no marker, in any case.
      if (!hasCode(error, 'ENOENT', 'ENXIO', 'ENODEV', 'EIO', 'ENOMEDIUM', 'EACCES', 'EPERM')) throw error;
    }
  }
  return found;
}

export async function findMarkers(as: MarkedAs | undefined, roots = systemRoots): Promise<Markers> {
  let own: FailoverMarker | undefined;
  const others: LeewardError[] = [];
  for (const [name, head] of await heads(roots)) {
    const said = readMarker(head, as?.markerKey ?? '');
    const why =
      typeof said === 'string'
        ? said
        : said.itemId !== as?.itemId
          ? `it is of the item ${said.itemId}`
          : as.machineId !== undefined && said.machineId !== as.machineId
            ? `it is of the machine ${said.machineId}`
            : undefined;
    if (typeof said !== 'string' && why === undefined) own = said;
    else others.push(errors.MarkerNotOwn(join(roots.dev, name), why!));
  }
  return { own, others };
}

/** Of a marker disk nobody has anything to protect. */
export async function isMarkerDisk(name: string, roots = systemRoots): Promise<boolean> {
  return (await heads(roots)).has(name);
}

export interface CopyWatchParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly roots?: DiskRoots | undefined;
  /** What this machine replicates as, read anew each time. */
  readonly as: () => Promise<MarkedAs | undefined>;
  /** For `status`. */
  readonly tell: (marker: FailoverMarker) => Promise<void>;
}

/**
 * Runs the service until `stop`, unless this machine is a copy, or as soon as it turns out to be one: then it waits until
 * `stop`. A marker that goes away while the machine runs ends nothing: it counts until the service is started without it.
 */
export async function runUnlessCopy(
  parts: CopyWatchParts,
  stop: AbortSignal,
  run: (stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, log } = parts;
  await settle(log);
  const look = async () => (await findMarkers(await parts.as(), parts.roots)).own;
  let marker = await look();
  if (!marker) {
    const over = new AbortController();
    const copied = new AbortController();
    const either = AbortSignal.any([stop, over.signal]);
    const watching = (async () => {
      while (!either.aborted && !marker) {
        await pause(clock, markerLookMilliseconds, either);
        if (either.aborted) return;
        // What cannot be looked at now is looked at again.
        marker = await look().catch((error: unknown) => {
          log.warn('markers-not-looked-for', { error });
          return undefined;
        });
        if (marker) copied.abort();
      }
    })();
    try {
      await run(AbortSignal.any([stop, copied.signal]));
    } finally {
      over.abort();
      await watching;
    }
    if (!copied.signal.aborted || !marker) return;
  }
  let isThere = true;
  log.warn('this-machine-is-a-copy', { ...marker });
  while (!stop.aborted) {
    await parts.tell(marker);
    await pause(clock, markerLookMilliseconds, stop);
    const still = (await look().catch(() => marker)) !== undefined;
    if (isThere !== still)
      log.warn(still ? 'marker-is-back' : 'marker-is-gone', {
        failoverId: marker.failoverId,
        ...(still
          ? {}
          : { next: 'the service speaks for this machine again when it is started the next time' }),
      });
    isThere = still;
  }
}

/** On a machine that has just been started the kernel may still be finding its disks. */
async function settle(log: Log): Promise<void> {
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]);
  if (uptime > youngMachineSeconds) return;
  try {
    await tryRun('udevadm', ['settle', `--timeout=${markerSettleMilliseconds / 1000}`], {
      timeoutMilliseconds: 2 * markerSettleMilliseconds,
    });
  } catch (error) {
    log.info('disks-not-waited-for', { error });
  }
}
