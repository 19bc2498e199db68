/**
 * `make bench`: our whole path side by side with its peers, on one machine, in one run, on the same data, each end's bytes
 * compared. Prints a table and writes `bench/results.json`. `bench/README.md` says how to read it. Root only: it needs
 * loop devices, tracefs and a replica volume. Nothing else should run on the machine meanwhile.
 *
 *     BENCH_GIB=2            size of the disk
 *     BENCH_RUNS=3           of what is short; medians are shown
 *     BENCH_CHURN_SECONDS=60 of each rate
 *     BENCH_MACHINES=1000    on one process server, for BENCH_MACHINES_SECONDS=60
 *     BENCH_PEERS=rsync,…    only these
 *     BENCH_TRIM_GIB=40      size of the disk that is trimmed; it is sparse
 *     BENCH_PARTS=load,…     only these of copies, load, churn, trims, api, machines
 *     BENCH_LONG_SECONDS=600 of 100 MB/s, and of three raw disks written without a pause
 *     BENCH_FOLDER=/var/tmp  where disks and copies go; five times BENCH_GIB
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { canLoop, canTrace } from '../test/support/loop-device.ts';
import { type Machine, TwoSites } from '../test/support/two-sites.ts';
import { manyMachinesPlan, manyMachinesRow } from './many-machines.ts';
import { dropCaches, endAll, keepCold, median, sha256Of, shell } from './measure.ts';
import {
  churned,
  copied,
  heldOf,
  isExact,
  lent,
  ordered,
  peaks,
  quantile,
  settled,
  writeRate,
} from './ours.ts';
import { available, type Peer, peers, plainCopy } from './peers.ts';
import { type Result, type Row, renderTable, resultOf } from './report.ts';
import { trimPlan, trimRow } from './trims.ts';
import { vaultApiPlan, vaultApiRow } from './vault-api.ts';

const gibibytes = Number(process.env.BENCH_GIB ?? 2);
const runs = Number(process.env.BENCH_RUNS ?? 3);
const churnSeconds = Number(process.env.BENCH_CHURN_SECONDS ?? 60);
const longSeconds = Number(process.env.BENCH_LONG_SECONDS ?? 600);
const machineCount = Number(process.env.BENCH_MACHINES ?? 1000);
const machineSeconds = Number(process.env.BENCH_MACHINES_SECONDS ?? 60);
const trimGibibytes = Number(process.env.BENCH_TRIM_GIB ?? 40);
const only = process.env.BENCH_PEERS?.split(',');
const parts = process.env.BENCH_PARTS?.split(',') ?? ['copies', 'load', 'churn', 'trims', 'api', 'machines'];

// The disks are loop devices whose files lie on this machine's own, which nobody is offered unasked.
process.env.LEEWARD_OFFER_LOOP_DEVICES = '1';
const reason = canLoop() ?? canTrace();
if (reason !== undefined) {
  console.error(`the benchmarks cannot run here: ${reason}`);
  process.exit(1);
}

const folder = mkdtempSync(join(process.env.BENCH_FOLDER ?? '/var/tmp', 'leeward-bench-'));
const cleanups: (() => Promise<unknown>)[] = [() => shell(`rm -rf ${folder}`)];
const results: Result[] = [];
const started = performance.now();

function say(text: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${text}`);
}

/** One row; when it fails, the others are still measured. */
async function row(
  plan: Omit<Row, 'ours' | 'peers' | 'verified' | 'error'>,
  measure: () => Promise<Partial<Row>>,
) {
  let result: Result;
  try {
    result = resultOf({ ...plan, peers: {}, verified: false, ...(await measure()) });
  } catch (error) {
    result = resultOf({
      ...plan,
      peers: {},
      verified: false,
      error: (error instanceof Error ? error.message : String(error)).split('\n').slice(0, 3).join(' '),
    });
  }
  results.push(result);
  say(
    `${result.work}: ${result.ours ?? '-'} ${result.unit} (${result.error ?? `ratio ${result.ratio ?? '-'}`})`,
  );
  writeFileSync(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
}

/** `direct`: past the page cache of the file under it, as a disk is; else it takes writes as fast as memory does. */
async function loop(name: string, bytes: number, direct: 'on' | 'off'): Promise<string> {
  const image = join(folder, name);
  const device = (
    await shell(`truncate -s ${bytes} ${image}; losetup --find --show --direct-io=${direct} ${image}`)
  ).trim();
  cleanups.unshift(() => shell(`losetup --detach ${device}`));
  return device;
}

/** File-system data: an ext4 filled from /usr until it is full, then at rest. */
async function fill(device: string): Promise<void> {
  const at = join(folder, 'filling');
  mkdirSync(at);
  await shell(
    `mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 ${device}; mount ${device} ${at};
     for from in /usr/lib /usr/share /usr/bin /usr/sbin /usr/libexec /usr/include; do cp -a $from ${at}/ 2>/dev/null || true; done;
     umount ${at}; rmdir ${at}`,
  );
}

/** Random 4 KiB blocks, each once, with new content; never compressible. */
async function dirty(device: string, bytes: number, seed: number): Promise<void> {
  await shell(
    `fio --name=dirty --filename=${device} --rw=randwrite --bs=4k --io_size=${bytes} --direct=1 --ioengine=libaio --iodepth=16 --refill_buffers --randseed=${seed} --output=/dev/null`,
  );
}

interface Standing {
  readonly peer: Peer;
  readonly folder: string;
  readonly initialSeconds: number;
  readonly restoreSeconds: number;
  /** Of both. */
  readonly cpuSeconds: number;
  readonly isExact: boolean;
}

/** The real daemons, with room for copies of a disk of `bytes`. */
async function sitesFor(bytes: number): Promise<TwoSites> {
  const site = await TwoSites.start({
    folder: join(folder, 'site'),
    replicaBytes: Math.max(4 * bytes, 8 * 2 ** 30),
    spoolBytes: 2 * bytes,
  });
  cleanups.unshift(() => site[Symbol.asyncDispose]());
  return site;
}

/** First copies, deltas and comparisons, beside all peers; answers the site that made ours. */
async function copies(bytes: number): Promise<TwoSites> {
  const megabytes = bytes / 1e6;
  say(
    `${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, a disk of ${gibibytes} GiB, in ${folder}`,
  );
  const device = await loop('source.img', bytes, 'on');
  keepCold([device, join(folder, 'source.img')]);
  await fill(device);
  const expected = await sha256Of(device);
  say('the disk is filled');

  // What the machine can do, and each peer: first copy, and back as a disk, whose bytes are compared.
  const cp = await plainCopy(device, folder);
  say(`cp: ${(megabytes / cp.wallSeconds).toFixed(0)} MB/s`);
  const standing: Standing[] = [];
  for (const peer of peers) {
    if (only && !only.includes(peer.name)) continue;
    if (!(await available(peer.name.split('+')[0]!))) {
      say(`${peer.name} is not installed`);
      continue;
    }
    const home = join(folder, `peer-${peer.name}`);
    mkdirSync(home);
    try {
      const initial = await peer.initial(device, home);
      const target = join(folder, 'restored.raw');
      const restore = await peer.restore(home, target);
      const exact = (await sha256Of(target)) === expected;
      rmSync(target);
      standing.push({
        ...{ peer, folder: home, isExact: exact },
        ...{ initialSeconds: initial.wallSeconds, restoreSeconds: restore.wallSeconds },
        cpuSeconds: initial.cpuSeconds + restore.cpuSeconds,
      });
      say(
        `${peer.name}: copies ${(megabytes / initial.wallSeconds).toFixed(0)} MB/s (${initial.cpuSeconds.toFixed(1)} CPU s), restores in ${restore.wallSeconds.toFixed(1)} s, ${exact ? 'exact' : 'NOT EXACT'}`,
      );
      // Only those that can bring a copy up to date are needed again.
      if (!peer.delta) rmSync(home, { recursive: true });
    } catch (error) {
      say(`${peer.name} failed: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`);
    }
  }
  const areExact = standing.every((one) => one.isExact);
  const fair = standing.filter(({ peer }) => peer.encrypts && peer.compresses).map(({ peer }) => peer.name);
  const figuresOf = (figure: (one: Standing) => number) =>
    Object.fromEntries(standing.map((one) => [one.peer.name, figure(one)]));

  const site = await sitesFor(bytes);
  // Stands still with its order before it, so that all of the work is measured.
  const machine = await site.prepare('disk', [device], { crashConsistentSeconds: 2 });
  const first = (async () => {
    await dropCaches();
    return copied(site, machine, () => machine.service.resume(), 600);
  })();
  first.catch(() => {});

  await row(
    {
      work: 'initial replication, sealed in storage',
      unit: 'MB/s',
      higherIsBetter: true,
      fair,
      ratioWanted: 1,
    },
    async () => {
      const ours = await first;
      return {
        ours: megabytes / ours.storedSeconds,
        peers: { cp: megabytes / cp.wallSeconds, ...figuresOf((one) => megabytes / one.initialSeconds) },
        verified: areExact && (await isExact(machine, ours.point, expected)),
        where: `CPU s of each: ${ours.cpuOf}`,
        note: `${((ours.cpuSeconds / megabytes) * 1000).toFixed(1)} CPU s a GB, of each daemon: ${ours.cpuOf}; wire ${(ours.receivedBytes / 1e6).toFixed(0)} MB to the process server, ${(ours.sentBytes / 1e6).toFixed(0)} MB to the vault; peak ${peaks(site, machine)}. Ours builds the replica disk at the same time.`,
      };
    },
  );
  await row(
    {
      ...{ work: 'initial replication, to a bootable disk', unit: 'MB/s', higherIsBetter: true, fair },
      ratioWanted: 1,
    },
    async () => {
      const ours = await first;
      return {
        ours: megabytes / ours.pointSeconds,
        peers: figuresOf((one) => megabytes / (one.initialSeconds + one.restoreSeconds)),
        verified: areExact && (await isExact(machine, ours.point, expected)),
        note: 'a peer first copies and then restores; ours ends with a recovery point that boots',
      };
    },
  );
  await row(
    {
      work: 'initial replication, to a bootable disk: processor time',
      unit: 'CPU s',
      higherIsBetter: false,
      fair,
    },
    async () => {
      const ours = await first;
      return {
        ours: ours.cpuSeconds,
        peers: figuresOf((one) => one.cpuSeconds),
        verified: areExact && (await isExact(machine, ours.point, expected)),
        note: "all daemons, the database included; kernel threads, which write back for everybody, are in nobody's",
      };
    },
  );
  await row({ work: 'recovery point to a bootable disk', unit: 's', higherIsBetter: false }, async () => {
    const loan = await lent(site, machine, (await first).point, runs);
    return {
      ours: loan.seconds,
      peers: figuresOf((one) => one.restoreSeconds),
      verified: loan.isExact && areExact,
    };
  });

  const dirtyBytes = Math.floor((bytes * 0.02) / 4096) * 4096;
  const delta = { work: 'delta, 2 % random 4 KiB dirty', unit: 's', higherIsBetter: false, ratioWanted: 20 };
  await row(delta, async () => {
    await settled(site, machine);
    // Written while the service stands still, so that all of the work comes after it, as it does for the peers.
    await machine.service.pause();
    await dirty(device, dirtyBytes, 1);
    await dropCaches();
    const ours = await copied(site, machine, () => machine.service.resume(), 300);
    const now = await sha256Of(device);
    const exact = await isExact(machine, ours.point, now);
    const others = await deltas(standing, device, now);
    return {
      ours: ours.pointSeconds,
      ...others,
      verified: exact && others.verified,
      where: `${ours.storedSeconds.toFixed(2)} s until sealed in storage, the rest in the vault; CPU s of each: ${ours.cpuOf}`,
      note: `${ours.cpuSeconds.toFixed(1)} CPU s; ${(ours.receivedBytes / dirtyBytes).toFixed(2)} of the dirty bytes to the process server, ${(ours.sentBytes / dirtyBytes).toFixed(2)} to the vault`,
    };
  });
  await row({ work: 'resync by checksum, 0.1 % differing', unit: 'MB/s', higherIsBetter: true }, async () => {
    await settled(site, machine);
    await machine.service.kill();
    await dirty(device, dirtyBytes / 20, 2);
    await dropCaches();
    const ours = await copied(site, machine, () => machine.service.start(), 600);
    const now = await sha256Of(device);
    const exact = await isExact(machine, ours.point, now);
    const others = await deltas(
      standing.filter(({ peer }) => peer.name === 'rsync'),
      device,
      now,
    );
    return {
      ours: megabytes / ours.pointSeconds,
      peers: Object.fromEntries(
        Object.entries(others.peers).map(([name, seconds]) => [name, megabytes / seconds]),
      ),
      verified: exact && others.verified,
      note: `after kill -9 of the mobility service, ${ours.cpuSeconds.toFixed(1)} CPU s; ${(ours.receivedBytes / 1e6).toFixed(1)} MB sent for ${(dirtyBytes / 20e6).toFixed(1)} MB that differ; its start and a point are in the time`,
    };
  });
  await machine.service.kill('SIGTERM');
  for (const one of standing) rmSync(one.folder, { recursive: true, force: true });
  return site;
}

/** Each peer's update of its copy, in seconds, restored and compared. */
async function deltas(standing: readonly Standing[], device: string, expected: string) {
  const figures: Record<string, number> = {};
  let verified = true;
  for (const { peer, folder: home } of standing) {
    if (!peer.delta) continue;
    figures[peer.name] = (await peer.delta(device, home)).wallSeconds;
    const target = join(folder, 'restored.raw');
    await peer.restore(home, target);
    verified &&= (await sha256Of(target)) === expected;
    rmSync(target);
    say(`${peer.name}: ${figures[peer.name]!.toFixed(1)} s`);
  }
  return { peers: figures, verified };
}

/** Points at any churn: how old the newest one gets, and how long writers stand still for one. */
async function longChurn(site: TwoSites): Promise<void> {
  const { device, at, unmount } = await mounted('churn');
  const machine = await site.prepare('churn', [device], { crashConsistentSeconds: 5 });
  machine.service.resume();
  await machine.pointAfter(0, 120);
  await row(
    { work: `100 MB/s of random 64 KiB for ${longSeconds} s, RPO p99`, unit: 's', higherIsBetter: false },
    async () => {
      const churn = await churned(machine, at, 100, longSeconds);
      const megabytes = churn.writtenBytes / longSeconds / 1e6;
      return {
        ours: churn.rpoP99Seconds,
        verified: !churn.hasLost && megabytes >= 95 && (await atRest(machine, at, 'churn.img')),
        note: `${megabytes.toFixed(0)} MB/s written, ${churn.pointsMeanwhile || 'NO'} points while it lasted, RPO p50 ${churn.rpoP50Seconds.toFixed(1)} s, wanted: p99 below 30 s, held p99 below 200 ms; ${heldOf(churn.points)}; ${churn.hasLost ? 'CHANGES WERE LOST, resync' : 'no loss'}; peak ${peaks(site, machine)}`,
      };
    },
  );
  await machine.service.kill('SIGTERM');
  await unmount();
  const disks: string[] = [];
  for (const name of ['raw-1', 'raw-2', 'raw-3']) disks.push(await loop(`${name}.img`, 256 << 20, 'off'));
  const raw = await site.prepare('raw', disks, { crashConsistentSeconds: 5 });
  raw.service.resume();
  await raw.pointAfter(0, 120);
  const seconds = Math.min(longSeconds, 120);
  await row(
    {
      work: `three raw disks written without a pause for ${seconds} s, RPO p99`,
      unit: 's',
      higherIsBetter: false,
    },
    async () => {
      const written = await ordered(raw, disks, seconds);
      const lates = [...written.lateSeconds].sort((one, other) => one - other);
      return {
        ours: quantile(lates, 0.99),
        verified: written.areAllPrefixes,
        note: `4 KiB in one order, ${(written.last / seconds).toFixed(0)} a second, longest write ${written.longestMilliseconds.toFixed(0)} ms; ${written.points.length} points, every one a prefix of that order; RPO p50 ${quantile(lates, 0.5).toFixed(1)} s; ${heldOf(written.points)}`,
      };
    },
  );
  await raw.service.kill('SIGTERM');
}

/** Two mounted ext4 of 2 GiB that are written to: one is protected. */
async function underLoad(site: TwoSites): Promise<void> {
  const control = await mounted('control');
  const { device, at, unmount } = await mounted('load');
  const machine = await site.prepare('load', [device], { crashConsistentSeconds: 5 });
  await row({ work: 'fio 4 KiB random writes, tracked', unit: 'IOPS', higherIsBetter: true }, async () => {
    const seconds = 3;
    const untracked: number[] = [];
    const alone: number[] = [];
    // Lays the files out.
    await writeRate(control.at, 2);
    await writeRate(at, 2);
    machine.service.resume();
    await machine.pointAfter(0, 120);
    // Short, in turns, and beginning with the other one each time: what else the machine does changes by the second.
    for (let pair = 0; pair < 2 * Math.max(runs, 3); pair++) {
      await settled(site, machine);
      // In life process server and vault are other machines: stopped, they take no processor time from this one.
      await site.processServer.pause();
      await site.vault.pause();
      try {
        if (pair % 2 === 0) untracked.push(await writeRate(control.at, seconds));
        alone.push(await writeRate(at, seconds));
        if (pair % 2 === 1) untracked.push(await writeRate(control.at, seconds));
      } finally {
        site.vault.resume();
        site.processServer.resume();
      }
    }
    await settled(site, machine);
    const working = await writeRate(at, seconds);
    await settled(site, machine);
    const all = (figures: readonly number[]) => figures.map((figure) => Math.round(figure)).join(', ');
    return {
      ours: median(alone),
      peers: { untracked: median(untracked) },
      ratioWanted: 0.95,
      verified: await atRest(machine, at),
      note: `with process server and vault standing still: ${all(alone)}, against ${all(untracked)} on a disk that is not protected; ${working.toFixed(0)} while both work on the same ${availableParallelism()} cores`,
    };
  });
  await control.unmount();
  const frozen: number[] = [];
  for (const rate of [10, 50, 100])
    await row(
      { work: `churn of ${rate} MB/s for ${churnSeconds} s, RPO p99`, unit: 's', higherIsBetter: false },
      async () => {
        const churn = await churned(machine, at, rate, churnSeconds);
        frozen.push(...churn.points.map((point) => point.frozenMilliseconds).filter((time) => time > 0));
        return {
          ours: churn.rpoP99Seconds,
          verified: !churn.hasLost && (await atRest(machine, at)),
          note: `${(churn.writtenBytes / churnSeconds / 1e6).toFixed(0)} MB/s written, ${churn.pointsMeanwhile || 'NO'} points while it lasted${churn.pointsMeanwhile === 0 ? ': the figure is how long it lasted' : ''}, wanted: below 30 s; ${churn.hasLost ? 'CHANGES WERE LOST, resync' : 'no loss'}; peak ${peaks(site, machine)}`,
        };
      },
    );
  await row(
    { work: 'freeze of file systems under that load, p99', unit: 'ms', higherIsBetter: false },
    async () => {
      frozen.sort((one, other) => one - other);
      if (frozen.length === 0) return { verified: true, note: 'no point needed a freeze' };
      return {
        ours: frozen[Math.min(frozen.length - 1, Math.floor(frozen.length * 0.99))]!,
        verified: true,
        note: `${frozen.length} points with a freeze, the longest ${frozen.at(-1)!.toFixed(0)} ms`,
      };
    },
  );
  await machine.service.kill('SIGTERM');
  await unmount();
}

async function mounted(name: string) {
  const device = await loop(`${name}.img`, 2 * 2 ** 30, 'off');
  const at = join(folder, name);
  mkdirSync(at);
  await shell(`mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 ${device}; mount ${device} ${at}`);
  const unmount = () => shell(`! mountpoint -q ${at} || umount ${at}`);
  cleanups.unshift(unmount);
  return { device, at, unmount };
}

/** Nothing is written any more: the newest point must be the disk, read from the file behind it (a block device's own page
 * cache knows nothing of what a mounted file system writes past it). */
async function atRest(machine: Machine, at: string, image = 'load.img'): Promise<boolean> {
  for (let attempt = 0; attempt < 2; attempt++) {
    await shell(`sync -f ${at}`);
    await sleep(1000);
    const point = await machine.pointAfter(Date.now(), 180);
    // ext4 writes its superblock now and then: the next point then has it.
    if (await isExact(machine, point, await sha256Of(join(folder, image)))) return true;
  }
  return false;
}

let isCleaned: Promise<void> | undefined;
/** Once, whoever asks: the end, or Ctrl-C. */
function cleanUp(): Promise<void> {
  isCleaned ??= (async () => {
    for (const cleanup of cleanups) await cleanup().catch((error: unknown) => console.error(String(error)));
  })();
  return isCleaned;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    say(`${signal}: ends the daemons, unmounts and removes what was made`);
    endAll();
    void cleanUp().then(() => process.exit(130));
  });

try {
  const bytes = gibibytes * 2 ** 30;
  let site = parts.includes('copies') ? await copies(bytes) : undefined;
  if (parts.includes('load')) {
    site ??= await sitesFor(bytes);
    await underLoad(site);
  }
  if (parts.includes('churn')) {
    site ??= await sitesFor(bytes);
    await longChurn(site);
  }
  if (parts.includes('trims')) {
    site ??= await sitesFor(bytes);
    const trimmed = site;
    await row(trimPlan(trimGibibytes), async () => {
      const device = await loop('trims.img', trimGibibytes * 2 ** 30, 'on');
      return await trimRow(trimmed, folder, { device, image: join(folder, 'trims.img') });
    });
  }
  if (parts.includes('api')) await row(vaultApiPlan, vaultApiRow);
  if (parts.includes('machines'))
    await row(manyMachinesPlan(machineCount), () => manyMachinesRow(machineCount, machineSeconds));
} catch (error) {
  results.push(
    resultOf({
      ...{ work: 'the rest', unit: '-', higherIsBetter: true, peers: {}, verified: false },
      error: error instanceof Error ? error.message : String(error),
    }),
  );
} finally {
  await cleanUp();
}
console.log(`\n${renderTable(results)}`);
writeFileSync(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
process.exitCode = results.every((result) => result.verified) ? 0 : 1;
