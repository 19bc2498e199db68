/**
 * Our whole path under measurement: the real daemons of `test/support/two-sites.ts` on this machine, each figure taken from
 * outside: when a recovery point can be seen at the vault, what /proc says, what the process server counts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ProtectedItemId, RecoveryPointId } from '../src/model/ids.ts';
import { systemFiles } from '../src/platform/files.ts';
import { ReflinkStore } from '../src/vault/replica/reflink-store.ts';
import { lastOfPrefix, orderedBlockBytes, orderedSlots } from '../test/support/ordered-writer.ts';
import { eventually } from '../test/support/site.ts';
import type { Machine, Point, TwoSites } from '../test/support/two-sites.ts';
import { median, sha256Of, shell } from './measure.ts';
import { cpuSecondsOf, peakMebibytesOf } from './usage.ts';

export interface Copied {
  /** Until everything was sealed and durable in cache storage. */
  readonly storedSeconds: number;
  /** Until the recovery point, a bootable raw disk, could be seen. */
  readonly pointSeconds: number;
  readonly cpuSeconds: number;
  /** The same, of each daemon: where the time goes. */
  readonly cpuOf: string;
  /** From the machine to the process server, and from there to the vault. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly point: Point;
}

/** Does `begin`, then waits for the first point taken after it. */
export async function copied(
  site: TwoSites,
  machine: Machine,
  begin: () => void,
  limitSeconds: number,
): Promise<Copied> {
  // A service that is not running yet has used nothing.
  const usedBefore = usedByEach(site, machine);
  const before = await figures(site);
  const clock = performance.now();
  const moment = Date.now();
  begin();
  let storedSeconds: number | undefined;
  let point: Point | undefined;
  await eventually(`a recovery point of ${machine.name}`, limitSeconds, async () => {
    const seconds = (performance.now() - clock) / 1000;
    const { lastBookmark, isDrained } = await statusOf(site, machine);
    if (
      storedSeconds === undefined &&
      lastBookmark !== null &&
      Date.parse(lastBookmark) >= moment &&
      isDrained
    )
      storedSeconds = seconds;
    point = (await machine.points()).find(({ takenAt }) => Date.parse(takenAt) >= moment);
    return point;
  });
  const pointSeconds = (performance.now() - clock) / 1000;
  const after = await figures(site);
  const spent = usedByEach(site, machine).map(({ name, seconds }) => ({
    name,
    seconds: seconds - (usedBefore.find((one) => one.name === name)?.seconds ?? 0),
  }));
  return {
    storedSeconds: Math.min(storedSeconds ?? pointSeconds, pointSeconds),
    pointSeconds,
    cpuSeconds: spent.reduce((sum, { seconds }) => sum + seconds, 0),
    cpuOf: spent.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)}`).join(', '),
    receivedBytes: after.received - before.received,
    sentBytes: after.sent - before.sent,
    point: point!,
  };
}

function usedByEach(site: TwoSites, machine: Machine): { readonly name: string; readonly seconds: number }[] {
  return [machine.service, site.processServer, site.vault]
    .filter((daemon) => daemon.isRunning)
    .map((daemon) => ({ name: daemon.name, seconds: cpuSecondsOf(daemon.pid!) }));
}

export function peaks(site: TwoSites, machine: Machine): string {
  return [machine.service, site.processServer, site.vault]
    .filter((daemon) => daemon.isRunning)
    .map((daemon) => `${daemon.name} ${Math.round(peakMebibytesOf(daemon.pid!))} MiB`)
    .join(', ');
}

/** Whether a point's disk has these bytes. */
export async function isExact(machine: Machine, point: Point, expected: string): Promise<boolean> {
  return (await sha256Of(machine.pointPath(point))) === expected;
}

/** A recovery point as a disk that a hypervisor can open: median seconds of `runs`, and whether the loan is the point. */
export async function lent(
  site: TwoSites,
  machine: Machine,
  point: Point,
  runs: number,
): Promise<{ readonly seconds: number; readonly isExact: boolean }> {
  const store = new ReflinkStore({ folder: join(site.vaultFolder, 'replica'), files: systemFiles });
  const itemId = ProtectedItemId.parse(machine.itemId);
  const pointId = RecoveryPointId.parse(point.pointId);
  const expected = await sha256Of(machine.pointPath(point));
  const seconds: number[] = [];
  let isSame = true;
  for (let run = 0; run < runs; run++) {
    const began = performance.now();
    const [disk] = await store.lend(itemId, pointId, `bench-${run}`);
    seconds.push((performance.now() - began) / 1000);
    isSame &&= (await sha256Of(disk!.path)) === expected;
    await store.giveBack(itemId, `bench-${run}`);
  }
  return { seconds: median(seconds), isExact: isSame };
}

export interface Churned {
  readonly rpoP50Seconds: number;
  readonly rpoP99Seconds: number;
  readonly hasLost: boolean;
  /** Taken since it began, and of these while it lasted: without any of the latter the figure is only how long it lasted. */
  readonly points: readonly Point[];
  readonly pointsMeanwhile: number;
  readonly writtenBytes: number;
}

/** Writes 64 KiB at random places at this rate; how far behind the newest point was, looked at ten times a second. */
export async function churned(
  machine: Machine,
  folder: string,
  megabytesASecond: number,
  seconds: number,
): Promise<Churned> {
  await machine.pointAfter(Date.now() - 10_000, 120);
  const began = Date.now();
  const report = await shell(
    `fio --name=churn --directory=${folder} --size=512m --rw=randwrite --bs=64k --direct=1 --ioengine=libaio --iodepth=8 --refill_buffers --buffer_compress_percentage=50 --norandommap --rate=${megabytesASecond}m --time_based --runtime=${seconds} --randrepeat=0 --output-format=json`,
    seconds + 120,
  );
  const ended = Date.now();
  // The points that were on their way at the end tell how late they were.
  await machine.pointAfter(ended, 180);
  const points = await machine.points();
  const late = latesOf(points, began, ended).sort((one, other) => one - other);
  const losses = (await machine.events()).filter(
    ({ eventCode, timeOfOccurrence }) => eventCode === 'ChangesLost' && Date.parse(timeOfOccurrence) >= began,
  );
  const parsed = JSON.parse(report.slice(report.indexOf('{'))) as { jobs: { write: { io_bytes: number } }[] };
  const taken = points.filter((point) => Date.parse(point.takenAt) >= began);
  return {
    rpoP50Seconds: quantile(late, 0.5),
    rpoP99Seconds: quantile(late, 0.99),
    hasLost: losses.length > 0,
    points: taken,
    pointsMeanwhile: taken.filter((point) => Date.parse(point.takenAt) < ended).length,
    writtenBytes: parsed.jobs[0]!.write.io_bytes,
  };
}

/** How far behind the newest point was, looked at ten times a second. */
function latesOf(points: readonly Point[], began: number, ended: number): number[] {
  const late: number[] = [];
  for (let at = began; at < ended; at += 100) {
    const newest = Math.max(
      ...points
        .filter((point) => Date.parse(point.processedAt) <= at)
        .map((point) => Date.parse(point.takenAt)),
    );
    late.push((at - newest) / 1000);
  }
  return late;
}

export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** How writers stood still for these points. */
export function heldOf(points: readonly Point[]): string {
  const held = points.map((point) => point.heldMilliseconds ?? 0).filter((time) => time > 0);
  const frozen = points.map((point) => point.frozenMilliseconds).filter((time) => time > 0);
  const text = (what: string, times: number[]) => {
    times.sort((one, other) => one - other);
    const [half, most] = [quantile(times, 0.5), quantile(times, 0.99)];
    return times.length === 0
      ? `none ${what}`
      : `${times.length} ${what}, p50 ${half.toFixed(0)} ms, p99 ${most.toFixed(0)} ms`;
  };
  return `${text('held', held)}; ${text('frozen', frozen)}`;
}

/** Of a disk, as far as the ordered writer writes. Not the whole: a point's disk is as large as the disk. */
function beginningOf(path: string): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(orderedSlots * orderedBlockBytes));
  const handle = openSync(path, 'r');
  try {
    readSync(handle, bytes);
  } finally {
    closeSync(handle);
  }
  return bytes;
}

/** Three raw disks written in one order without a pause: every point must be a prefix of it. */
export async function ordered(machine: Machine, disks: readonly string[], seconds: number) {
  await machine.pointAfter(Date.now() - 10_000, 120);
  const began = Date.now();
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, '../test/support/ordered-writer.ts'), '1', ...disks],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const closed = once(child, 'close');
  await sleep(seconds * 1000);
  const ended = Date.now();
  child.kill('SIGTERM');
  await closed;
  const { last, longestMilliseconds } = JSON.parse(said) as { last: number; longestMilliseconds: number };
  await machine.pointAfter(Date.now(), 180);
  const points = await machine.points();
  const taken = points.filter((point) => Date.parse(point.takenAt) >= began);
  let areAllPrefixes = true;
  for (const point of taken)
    try {
      lastOfPrefix(disks.map((_, index) => beginningOf(machine.pointPath(point, index))));
    } catch {
      areAllPrefixes = false;
    }
  return {
    ...{ last, longestMilliseconds, areAllPrefixes },
    points: taken,
    lateSeconds: latesOf(points, began, ended),
  };
}

/** IOPS of 4 KiB random writes at depth 16. */
export async function writeRate(folder: string, seconds: number): Promise<number> {
  const report = await shell(
    `fio --name=cost --directory=${folder} --size=256m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16 --norandommap --time_based --runtime=${seconds} --output-format=json`,
    seconds + 60,
  );
  const parsed = JSON.parse(report.slice(report.indexOf('{'))) as { jobs: { write: { iops: number } }[] };
  return parsed.jobs[0]!.write.iops;
}

/** Waits until nothing has reached the process server for a second. */
export async function settled(site: TwoSites, machine: Machine, limitSeconds = 120): Promise<void> {
  await eventually('everything is at the vault', limitSeconds, async () => {
    const before = (await figures(site)).received;
    await sleep(1000);
    const { isDrained } = await statusOf(site, machine);
    return isDrained && (await figures(site)).received - before < 1 << 20 ? true : undefined;
  });
}

const Status = z.object({
  items: z.array(
    z.object({ itemId: z.string(), lastBookmark: z.string().nullable(), backlogBytes: z.number() }),
  ),
});

async function statusOf(
  site: TwoSites,
  machine: Machine,
): Promise<{ lastBookmark: string | null; isDrained: boolean }> {
  const status = Status.parse(JSON.parse(await ask(site, '/status')));
  const item = status.items.find(({ itemId }) => itemId === machine.itemId);
  // An open part with a heading and a heartbeat's progress is no backlog.
  return { lastBookmark: item?.lastBookmark ?? null, isDrained: (item?.backlogBytes ?? 1 << 30) < 64 << 10 };
}

/** Bytes that the process server has received and sent since it began. */
export async function figures(site: TwoSites): Promise<{ received: number; sent: number }> {
  const text = await ask(site, '/metrics');
  const value = (name: string) =>
    Number(new RegExp(`^leeward_process_server_${name}(?:_total)? (\\S+)`, 'm').exec(text)?.[1] ?? 0);
  return { received: value('received_bytes'), sent: value('sent_bytes') };
}

async function ask(site: TwoSites, path: string): Promise<string> {
  const { statusPort } = site;
  // A process server that has just been started does not answer yet.
  return eventually('the process server answers', 60, async () => {
    const answer = await fetch(`http://127.0.0.1:${statusPort}${path}`, {
      signal: AbortSignal.timeout(10_000),
    });
    return await answer.text();
  });
}
