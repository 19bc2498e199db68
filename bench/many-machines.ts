/**
 * One process server and very many machines: each has a session of its own over TLS, with its own certificate and item key,
 * writes all the while and asks for recovery points. The process server is its own main in its own process; the machines are
 * simulated here, on the same cores, with disks in memory, which are compared at the end with what is in cache storage, a
 * folder: every byte of a sample of them, at every bookmark that is kept.
 *
 *     node bench/many-machines.ts [machines] [seconds]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../src/platform/clock.ts';
import { systemFiles } from '../src/platform/files.ts';
import { systemRandom } from '../src/platform/random.ts';
import { issueAuthority, issueCertificate, type MutualTlsOptions, tlsOptions } from '../src/platform/tls.ts';
import type { ItemStatus } from '../src/process-server/item.ts';
import { FolderStore } from '../src/protocol/cache/folder-store.ts';
import { dialLink } from '../src/protocol/replication/tls-link.ts';
import { replay, ScriptedSender } from '../test/support/scripted-sender.ts';
import { Daemon, eventually, freePort } from '../test/support/site.ts';
import type { Row } from './report.ts';
import { cpuSecondsOf, peakMebibytesOf, residentMebibytesOf } from './usage.ts';

/** Each has one disk, small because a thousand of them are in memory here, each twice. */
const diskBytes = 256 << 10;
const blockBytes = 4096;
/** 24 KiB a second of each: 1,000 of them write 2 TB a day, what the reference system allows one of its process servers. */
const blocksASecond = 6;
/** Of each machine. */
const bookmarkSeconds = 30;
/** Their bytes are compared. */
const sampleMax = 25;
/** Machines that sign in at the same time. */
const arrivalsMax = 20;

export interface ManyMachinesFigures {
  readonly machines: number;
  readonly peakMebibytes: number;
  /** Of its memory after each quarter of the time. */
  readonly residentMebibytes: readonly number[];
  readonly cpuShare: number;
  /** What was not in cache storage yet, after each quarter. */
  readonly backlogMebibytes: readonly number[];
  /** From a bookmark to the moment when it was seen to be durable at the process server; looked at once a second. */
  readonly lateP99Seconds: number;
  /** From the last bookmarks, of all machines at once, until everything was in cache storage. */
  readonly drainedSeconds: number;
  readonly bookmarks: number;
  readonly changedBytes: number;
  readonly isExact: boolean;
}

interface SimulatedMachine {
  readonly sender: ScriptedSender;
  /** Remembers what its disk was at every bookmark, for the comparison at the end. */
  readonly isSampled: boolean;
  /** When its newest bookmark was asked for, until it is seen to be durable. */
  pendingSince: number | undefined;
  changedBytes: number;
}

export const manyMachinesPlan = (machines: number) => ({
  work: `${machines.toLocaleString('en')} machines on one process server, its memory`,
  unit: 'MiB',
  higherIsBetter: false,
});

export async function manyMachinesRow(machines: number, seconds: number): Promise<Partial<Row>> {
  const figures = await measureManyMachines(machines, seconds);
  return { ours: figures.peakMebibytes, verified: figures.isExact, note: renderFigures(figures, seconds) };
}

function renderFigures(figures: ManyMachinesFigures, seconds: number): string {
  return [
    `${seconds} s at ${(figures.changedBytes / seconds / 1e6).toFixed(0)} MB/s of random 4 KiB`,
    `memory after each quarter ${figures.residentMebibytes.map((size) => Math.round(size)).join(', ')} MiB`,
    `${figures.cpuShare.toFixed(2)} of a core`,
    `${figures.bookmarks} bookmarks, durable after ${figures.lateP99Seconds.toFixed(1)} s (p99)`,
    `backlog ${figures.backlogMebibytes.map((size) => Math.round(size)).join(', ')} MiB`,
    `everything in cache storage ${figures.drainedSeconds.toFixed(1)} s after a last bookmark of all machines at once`,
    'wanted: 4 GB at most, and flat',
  ].join('; ');
}

export async function measureManyMachines(
  count: number,
  seconds: number,
  say: (text: string) => void = () => {},
): Promise<ManyMachinesFigures> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(process.env.BENCH_FOLDER ?? tmpdir(), 'leeward-bench-many-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const machines = Array.from(
    { length: count },
    (_, index): SimulatedMachine => ({
      sender: new ScriptedSender([diskBytes]),
      isSampled: index % Math.ceil(count / sampleMax) === 0,
      pendingSince: undefined,
      changedBytes: 0,
    }),
  );
  const site = await startProcessServer(folder, machines, stack);
  stack.defer(async () => {
    for (const { sender } of machines) await sender.disconnect();
  });
  await arrive(site, machines, say);
  say(`all ${count} have sent their first copy`);

  const began = systemClock.monotonic();
  const cpuBefore = cpuSecondsOf(site.daemon.pid!);
  const late: number[] = [];
  const residentMebibytes: number[] = [];
  const backlogMebibytes: number[] = [];
  const ended = new AbortController();
  const working = Promise.all(machines.map((machine, index) => work(machine, index / count, ended.signal)));
  working.catch(() => ended.abort());
  for (let second = 0; second < seconds && !ended.signal.aborted; ) {
    await sleep(Math.max(0, began + (second + 1) * 1000 - systemClock.monotonic()));
    second = Math.floor((systemClock.monotonic() - began) / 1000);
    late.push(...(await arrivedBookmarks(site, machines)));
    if (residentMebibytes.length < Math.floor((4 * second) / seconds)) {
      residentMebibytes.push(residentMebibytesOf(site.daemon.pid!));
      backlogMebibytes.push((await statusOf(site)).spoolBytes / 2 ** 20);
      say(
        `${second} s: ${residentMebibytes.at(-1)!.toFixed(0)} MiB of memory, ${backlogMebibytes.at(-1)!.toFixed(0)} MiB of backlog, ${late.length} bookmarks`,
      );
    }
  }
  const cpuSeconds = cpuSecondsOf(site.daemon.pid!) - cpuBefore;
  ended.abort();
  await working;

  // Whatever was on its way comes, too, and its bytes are those that the machine had.
  const last = systemClock.monotonic();
  await Promise.all(machines.map(({ sender }) => sender.bookmark()));
  await eventually('everything in cache storage', 300, async () => {
    const { items } = await statusOf(site);
    return items.every((item) => item.backlogBytes === 0) || undefined;
  });
  const drainedSeconds = (systemClock.monotonic() - last) / 1000;
  let isExact = machines.every(({ sender }) => sender.ended === undefined);
  for (const { sender, isSampled } of machines) if (isSampled) isExact &&= await isSame(sender, site.store);
  late.sort((one, other) => one - other);
  return {
    machines: count,
    peakMebibytes: peakMebibytesOf(site.daemon.pid!),
    residentMebibytes,
    backlogMebibytes,
    drainedSeconds,
    cpuShare: cpuSeconds / seconds,
    lateP99Seconds: late[Math.min(late.length - 1, Math.floor(late.length * 0.99))] ?? Number.NaN,
    bookmarks: late.length,
    changedBytes: machines.reduce((sum, machine) => sum + machine.changedBytes, 0),
    isExact,
  };
}

interface ManyMachinesSite {
  readonly daemon: Daemon;
  readonly port: number;
  readonly statusPort: number;
  readonly store: FolderStore;
  /** For the machine of this name. */
  certificate(name: string): Promise<MutualTlsOptions>;
}

async function startProcessServer(
  folder: string,
  machines: readonly SimulatedMachine[],
  stack: AsyncDisposableStack,
): Promise<ManyMachinesSite> {
  const authority = await issueAuthority(join(folder, 'ca'));
  const tls = await issueCertificate({
    folder: join(folder, 'server'),
    authority,
    commonName: 'process-server/bench',
    hosts: ['127.0.0.1'],
    days: 2,
    usage: 'server',
  });
  const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: join(folder, 'cache') });
  await store.prepare();
  const itemsFolder = join(folder, 'items');
  await mkdir(itemsFolder);
  for (const { sender } of machines) {
    const itemKeyFile = join(itemsFolder, `${sender.itemId}.key`);
    await writeFile(itemKeyFile, sender.itemKey, { mode: 0o600 });
    const disks = sender.diskIds.map((diskId) => ({ diskId }));
    const assignment = { itemId: sender.itemId, name: sender.itemId, itemKeyFile, disks };
    await writeFile(join(itemsFolder, `${sender.itemId}.json`), JSON.stringify(assignment));
  }
  const [port, statusPort] = [await freePort(), await freePort()];
  const settingsPath = join(folder, 'settings.json');
  const settings = {
    listen: { host: '127.0.0.1', port },
    statusPort,
    tls,
    spool: { folder: join(folder, 'spool'), quotaBytes: 8 * 2 ** 30 },
    cache: { type: 'folder', folder: join(folder, 'cache') },
    itemsFolder,
    codecWorkers: 2,
    partSeconds: 5,
    logLevel: 'warn',
  };
  await writeFile(settingsPath, JSON.stringify(settings));
  const program = join(import.meta.dirname, '../src/bin/process-server.ts');
  // As its first line starts it.
  const daemon = new Daemon('process-server', folder, [
    '--initial-old-space-size=256',
    program,
    ...['run', '--settings', settingsPath],
  ]);
  daemon.start();
  stack.defer(() => daemon.kill('SIGTERM'));
  const site = {
    ...{ daemon, port, statusPort, store },
    certificate: async (name: string) => {
      const home = join(folder, `machine-${name}`);
      const request = { folder: home, authority, commonName: name, hosts: [], days: 2 };
      const options = await tlsOptions(await issueCertificate({ ...request, usage: 'client' }));
      await rm(home, { recursive: true });
      return options;
    },
  };
  await eventually('a process server that listens', 60, () => statusOf(site));
  return site;
}

/** All of them sign in and send their first copy, a few at a time. */
async function arrive(
  site: ManyMachinesSite,
  machines: readonly SimulatedMachine[],
  say: (text: string) => void,
): Promise<void> {
  // First of all: a process that has become large takes long to start another one.
  const certificates = new Map<ScriptedSender, MutualTlsOptions>();
  await atOnce(arrivalsMax, machines, async ({ sender }) => {
    certificates.set(sender, await site.certificate(sender.itemId));
  });
  say(`${machines.length} certificates are issued`);
  let arrived = 0;
  await atOnce(arrivalsMax, machines, async ({ sender }) => {
    const { ca, cert, key } = certificates.get(sender)!;
    const link = await dialLink({
      ...{ host: '127.0.0.1', port: site.port, clock: systemClock, accepts: () => true },
      tls: { ca: String(ca), cert: String(cert), key: String(key) },
    });
    systemRandom.bytes(diskBytes).copy(sender.images[0]!);
    await sender.connect(link);
    await sender.synchronize();
    arrived++;
    if (arrived % 200 === 0) say(`${arrived} of ${machines.length} machines are connected`);
  });
}

async function atOnce<T>(
  countMax: number,
  all: readonly T[],
  work: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = [...all];
  const next = async () => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) await work(one);
  };
  await Promise.all(Array.from({ length: countMax }, next));
}

/** Writes and asks for bookmarks until it is told to stop; `phase` (0 to 1) spreads the machines over the seconds. */
async function work(machine: SimulatedMachine, phase: number, signal: AbortSignal): Promise<void> {
  const { sender, isSampled } = machine;
  const image = sender.images[0]!;
  const began = systemClock.monotonic() + phase * 1000;
  for (let second = 0; !signal.aborted; second++) {
    await sleep(Math.max(0, began + second * 1000 - systemClock.monotonic()));
    const noise = systemRandom.bytes(blockBytes);
    for (let n = 0; n < blocksASecond; n++) {
      const block = noise.readUInt16LE(2 * n) % (diskBytes / blockBytes);
      // Half of it can be packed.
      image.set(noise.subarray(0, blockBytes / 2), block * blockBytes);
      image.fill(n, block * blockBytes + blockBytes / 2, (block + 1) * blockBytes);
      sender.dirty[0]!.add(block);
    }
    machine.changedBytes += sender.dirty[0]!.size * blockBytes;
    await sender.drain();
    if (second % bookmarkSeconds === Math.floor(phase * bookmarkSeconds)) {
      machine.pendingSince ??= Date.now();
      if (!isSampled) sender.points.clear();
      await sender.bookmark();
    }
  }
}

/** How late each bookmark was that has become durable since the last look, in seconds. */
async function arrivedBookmarks(
  site: ManyMachinesSite,
  machines: readonly SimulatedMachine[],
): Promise<number[]> {
  const { items } = await statusOf(site);
  const lastBookmarks = new Map(items.map((item) => [item.itemId, item.lastBookmark]));
  const now = Date.now();
  return machines.flatMap((machine) => {
    const last = lastBookmarks.get(machine.sender.itemId) ?? null;
    const since = machine.pendingSince;
    if (since === undefined || last === null || Date.parse(last) < since) return [];
    machine.pendingSince = undefined;
    return [(now - since) / 1000];
  });
}

async function statusOf(site: { readonly statusPort: number }) {
  const answer = await fetch(`http://127.0.0.1:${site.statusPort}/status`, {
    signal: AbortSignal.timeout(30_000),
  });
  return (await answer.json()) as { readonly spoolBytes: number; readonly items: readonly ItemStatus[] };
}

async function isSame(sender: ScriptedSender, store: FolderStore): Promise<boolean> {
  const { images, bookmarks } = await replay(sender, store);
  return bookmarks.length > 0 && images[0]!.equals(sender.images[0]!);
}

if (process.argv[1] === import.meta.filename) {
  const [machines, seconds] = [Number(process.argv[2] ?? 1000), Number(process.argv[3] ?? 60)];
  const figures = await measureManyMachines(machines, seconds, (text) => console.log(text));
  console.log(`peak ${Math.round(figures.peakMebibytes)} MiB; ${renderFigures(figures, seconds)}`);
  console.log(figures.isExact ? 'the sampled machines’ bytes are what is in cache storage' : 'NOT EXACT');
  process.exitCode = figures.isExact ? 0 : 1;
}
