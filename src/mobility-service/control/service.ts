/**
 * The whole mobility service put together on a real machine: assignment → disks, capture, freezer, replication, status
 * file. `bin/mobility-service.ts` is only its main. Ends when `stop` is aborted: changes are drained briefly, what is left
 * stays in capture's saved maps, and the kernel goes on recording for the successor.
 */
import { readFileSync } from 'node:fs';
import { hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Clock, pause, systemClock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { readWhole, systemFiles, writeDurably } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import { systemRandom } from '../../platform/random.ts';
import { readSettings } from '../../platform/settings.ts';
import { tlsOptions } from '../../platform/tls.ts';
import { MobilityAssignment } from '../../protocol/control/assignment.ts';
import { dialLink } from '../../protocol/replication/tls-link.ts';
import {
  isFolderOn,
  mountsOf,
  refuseStacked,
  swapRangesOf,
  type WholeDisk,
  wholeDeviceOf,
} from '../capture/inspect.ts';
import { fileCanary, TraceCapture } from '../capture/trace-capture.ts';
import { adoptInstance, findTracefs, makeInstance, removeInstance } from '../capture/tracefs.ts';
import { createApplications } from '../consistency/applications.ts';
import type { Freezer } from '../consistency/freezer.ts';
import { createHelperFreezer, releaseAtStart } from '../consistency/helper-freezer.ts';
import { createMysqlHook } from '../consistency/mysql-hook.ts';
import { createPostgresqlHook } from '../consistency/postgresql-hook.ts';
import { createWriteBrake, releaseHeld } from '../consistency/write-brake.ts';
import { LanePacker } from '../drain/pack.ts';
import { errors } from '../errors.ts';
import {
  heldBytesMax,
  heldBytesMin,
  heldMemoryShare,
  restMilliseconds,
  retryMillisecondsMax,
  retryMillisecondsMin,
  ringBytes,
  serviceBytesMax,
  settledMilliseconds,
  standingMillisecondsMax,
  statusBytesMax,
  statusMilliseconds,
} from '../limits.ts';
import { idleCapture, openDisks, thisMachinesDisks, untilOthersCome } from './disks.ts';
import { readMachineIdentity } from './machine-identity.ts';
import { isOfDisks, Replication } from './replication.ts';
import { Settling } from './settling.ts';
import { Standing } from './standing.ts';
import { ServiceState } from './state.ts';
import type { ServiceStatus } from './status-text.ts';

export interface ServiceFolders {
  /** Has `assignment.json`. */
  readonly settings: string;
  /** On a disk: generation and saved change maps. */
  readonly state: string;
  /** On tmpfs: status and the freeze note. */
  readonly runtime: string;
  /** The compiled thaw helper; without it file systems are not frozen. */
  readonly thawHelper: string | undefined;
  /** The compiled write brake; without it writers are not held back. */
  readonly writeBrake?: string | undefined;
  /** What this machine is (board, network cards, disks' numbers) is read below it. Default: /. */
  readonly machineRoot?: string | undefined;
  /** Program and arguments that shut this machine down when its site says so. Default: systemctl poweroff. */
  readonly powerOff?: readonly [string, ...string[]] | undefined;
}

export const agentVersion = '0.1.0';

/** Of the process when the other side refused it for good; the unit lists it in RestartPreventExitStatus. 77 is
 * EX_NOPERM of sysexits.h, which nothing else here ends with. */
export const refusalExitCode = 77;

export function isRefusal(error: unknown): boolean {
  return error instanceof LeewardError && error.context.isRefusal === true;
}

/**
 * Runs until `stop`, opening everything anew when a disk changed its size and when it is told to reload: that is a clean
 * stop and a clean start within one process, so nothing has to be compared.
 *
 * Where there is an assignment written by hand, that is it. Otherwise a machine that is enrolled does what its site tells it
 * (`site.ts`), rests while that is nothing, and goes on trying what it cannot do yet.
 */
export async function runService(
  folders: ServiceFolders,
  log: Log,
  stop: AbortSignal,
  onReload: (reload: () => void) => void = () => {},
): Promise<void> {
  const thaw = thawOf(folders);
  if (thaw) {
    // Before anything else: a run that was killed together with its helper may have left the machine standing still.
    const released = await releaseAtStart({ ...thaw, clock: systemClock, log });
    if (released > 0) log.warn('thawed-what-an-earlier-run-left', { released });
  }
  const brake = brakeOf(folders);
  if (brake) {
    // And one that was killed while it held writers back, them.
    const released = await releaseHeld(brake);
    if (released > 0) log.warn('released-what-an-earlier-run-held', { released });
  }
  if (await isEnrolledOnly(folders)) return runEnrolled(folders, log, stop, onReload);
  let again = new AbortController();
  onReload(() => {
    readAssignment(folders).then(
      () => again.abort(),
      (error: unknown) => log.error('assignment-not-reloaded', { error }),
    );
  });
  while (!stop.aborted) {
    again = new AbortController();
    try {
      const assignment = await readAssignment(folders);
      await runOnce(folders, assignment, log, AbortSignal.any([stop, again.signal]));
      if (!stop.aborted) log.info('reloading', { settings: folders.settings });
    } catch (error) {
      if (!(error instanceof LeewardError)) throw error;
      if (error.code === 'OldGeneration') throw errors.MachineCopied(folders.state, error);
      if (!isOfDisks(error)) throw error;
      log.warn('disks-changed', { code: error.code, summary: error.summary });
    }
  }
}

function readAssignment(folders: ServiceFolders): Promise<MobilityAssignment> {
  return readSettings(MobilityAssignment, join(folders.settings, 'assignment.json'));
}

async function isEnrolledOnly(folders: ServiceFolders): Promise<boolean> {
  if ((await systemFiles.sizeBytes(join(folders.settings, 'assignment.json'))) !== undefined) return false;
  return (await systemFiles.sizeBytes(join(folders.state, 'site', 'agent.json'))) !== undefined;
}

async function runEnrolled(
  folders: ServiceFolders,
  log: Log,
  stop: AbortSignal,
  onReload: (reload: () => void) => void,
): Promise<void> {
  // Only here: an assignment by hand needs none of it, and it costs memory.
  const site = await import('./site.ts');
  const { stopWriters } = await import('./writers.ts');
  const folder = site.siteFolder(folders.state);
  const settling = new Settling();
  let again = new AbortController();
  let rest = new AbortController();
  let replication: Replication | undefined;
  onReload(() => again.abort());
  const standing = new Standing({ refusal: () => again.abort(), known: () => rest.abort() });
  // What an earlier run said of itself: it may have been refused, and this one not.
  await systemFiles.remove(join(folders.runtime, 'status.json'));
  const link = site.runSite(
    {
      folder,
      identity: () => identityOf(folders),
      onReported: (failure) => {
        if (!stop.aborted) standing.reported(failure);
      },
      version: agentVersion,
      clock: systemClock,
      log,
      powerOff: folders.powerOff ?? ['systemctl', 'poweroff'],
      // A program of the operator's own shuts down what it knows; what else writes there nobody can say.
      stopWriters: folders.powerOff === undefined ? () => stopWriters(log) : undefined,
      runs: {
        reload: () => {
          const settled = settling.anew();
          again.abort();
          return settled;
        },
        settled: () => settling.promise,
        takeBookmark: async (type, signal) => {
          if (!replication) throw errors.NothingToReplicate();
          return replication.takeBookmark(type, signal);
        },
      },
    },
    stop,
  );
  for (let failures = 0; !stop.aborted; ) {
    again = new AbortController();
    rest = new AbortController();
    const signal = AbortSignal.any([stop, again.signal]);
    const outcome = settling.begin();
    try {
      // A copy of a machine must not say a word for it: neither with the assignment on its disk, nor with a new one.
      await standing.settled(systemClock, standingMillisecondsMax, signal);
      if (standing.refusal) throw standing.refusal;
      await takeAway(folders, folder, log);
      const assignment = await site.siteAssignment(folder);
      if (!assignment) {
        await systemFiles.remove(join(folders.runtime, 'status.json'));
        outcome.good();
        await pause(systemClock, restMilliseconds, signal);
        continue;
      }
      const scripts = await site.ownScripts(folders.settings);
      await runOnce(folders, { ...assignment, scripts }, log, signal, (started) => {
        replication = started;
        failures = 0;
        outcome.good();
      });
    } catch (error) {
      if (!(error instanceof LeewardError)) throw error;
      outcome.bad(error);
      if (isOfDisks(error)) continue;
      if (error.code !== 'MachineStillLive') log.error('not-replicating', { error });
      else log.warn('not-replicating-yet', { error });
      const isOfSite = error === standing.refusal;
      if (isOfSite || isRefusal(error)) await tellRefusal(folders, error, log);
      const ladder = (first: number) => Math.min(retryMillisecondsMax, first * 2 ** Math.min(failures, 10));
      // Coming back would only be refused again, or push the other one out: until a person or the site says otherwise. Whom
      // the site knows as the machine was pushed out by a copy, and comes back.
      const wait = isOfSite
        ? restMilliseconds
        : !isRefusal(error)
          ? ladder(retryMillisecondsMin)
          : standing.isKnown
            ? ladder(settledMilliseconds)
            : restMilliseconds;
      failures += 1;
      await pause(systemClock, wait, AbortSignal.any([signal, rest.signal]));
    } finally {
      replication = undefined;
    }
  }
  await link;
}

function identityOf(folders: ServiceFolders): Promise<string> {
  return readMachineIdentity({
    root: folders.machineRoot ?? '/',
    runtime: folders.runtime,
    files: systemFiles,
    random: systemRandom,
  });
}

/** For `mobility-service status`: it replicates nothing, and why. */
async function tellRefusal(folders: ServiceFolders, error: LeewardError, log: Log): Promise<void> {
  const { code, summary, possibleCauses, recommendedAction } = error;
  const status: ServiceStatus = {
    connection: 'stopped',
    generation: 0,
    pendingBytes: 0,
    unacknowledgedBytes: 0,
    disks: [],
    progress: [],
    lastError: error.message,
    refusal: { code, summary, possibleCauses, recommendedAction },
    residentBytes: process.memoryUsage.rss(),
    writtenAt: new Date(systemClock.now()).toISOString(),
  };
  try {
    await systemFiles.makeFolder(folders.runtime);
    await writeDurably(
      systemFiles,
      join(folders.runtime, 'status.json'),
      Buffer.from(`${JSON.stringify(status)}\n`),
    );
  } catch (failure) {
    log.warn('status-not-written', { error: failure });
  }
}

/** Nothing is left of what was replicated before: rings, maps, generation, certificate. Safe to repeat. */
async function takeAway(folders: ServiceFolders, folder: string, log: Log): Promise<void> {
  const site = await import('./site.ts');
  const removed = await site.removedAssignment(folder);
  if (!removed) return;
  removeInstance({ tracefs: await findTracefs(), name: removed.itemId.slice(0, 8) });
  for (const name of ['capture.state', 'state.json', 'canary'])
    await systemFiles.remove(join(folders.state, name));
  await systemFiles.remove(join(folders.runtime, 'status.json'));
  await site.forgetRemoved(folder, removed.itemId);
  log.info('no-longer-replicating', { protectedItemId: removed.itemId });
}

/** Which disks were missing the last time in this process. */
const wasMissing = new Set<string>();

async function runOnce(
  folders: ServiceFolders,
  assignment: MobilityAssignment,
  log: Log,
  stop: AbortSignal,
  onStarted: (replication: Replication) => void = () => {},
): Promise<void> {
  const clock = systemClock;
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const state = await ServiceState.load(systemFiles, folders.state, clock, bootId);
  await systemFiles.makeFolder(folders.runtime);
  await using devices = new AsyncDisposableStack();
  const access = thisMachinesDisks(bootId, clock);
  const opened = await openDisks(assignment, { state, bootId, clock, access, devices, wasMissing });
  const found = opened.flatMap(({ whole }) => whole ?? []);
  await refuseStacked(found);
  const disks = opened.map(({ disk }) => disk);
  const captured = opened.map(({ captured }) => captured);
  const deviceNumbers = captured.flatMap(({ deviceNumber }) => deviceNumber ?? []);
  const tracefs = await findTracefs();
  const canary = found.length > 0 ? await canaryOf(found, folders.state, log) : undefined;
  const instance = {
    tracefs,
    name: assignment.itemId.slice(0, 8),
    deviceNumbers,
    ringBytes,
    withQueuedDiscards: found.some((disk) => disk.hasRangedDiscards),
  };
  let freezer: Freezer | undefined;
  let replication: Replication | undefined;
  const report = (error: LeewardError): void => replication?.health.raise(error);
  const openCapture = () =>
    TraceCapture.open({
      disks: captured,
      makeRings: () => makeInstance(instance),
      adoptRings: (deviceNumbers) => adoptInstance({ ...instance, deviceNumbers }),
      report,
      wholeDeviceOf,
      clock,
      random: systemRandom,
      log,
      bootId,
      state: { files: systemFiles, path: join(folders.state, 'capture.state') },
      ...(canary ? { canary } : {}),
    });
  // Without any disk there is nothing to record; that is told over the session all the same.
  const capture = deviceNumbers.length > 0 ? await openCapture() : idleCapture(captured);
  devices.use(capture);

  const thaw = thawOf(folders);
  if (thaw)
    freezer = createHelperFreezer({
      clock,
      log,
      ...thaw,
      mounts: () => mountsOf(found),
      report,
      applications: createApplications({
        clock,
        scripts: assignment.scripts,
        hooks: [
          createMysqlHook({ clock, optionFile: join(folders.settings, 'mysql.cnf') }),
          createPostgresqlHook({ serviceFile: join(folders.settings, 'pg_service.conf') }),
        ],
        report,
      }),
    });

  const brake = brakeOf(folders);
  const still = new StatusGate();
  replication = new Replication({
    clock,
    random: systemRandom,
    log,
    state,
    itemId: assignment.itemId,
    hostName: hostname(),
    machineIdentity: await identityOf(folders),
    agentVersion,
    disks,
    capture,
    startLosses: capture.startLosses,
    freezer,
    brake: brake && createWriteBrake({ clock, log, ...brake, deviceNumbers: () => found.map(numbersOf) }),
    heldBytes: heldBytesOf(totalmem(), process.constrainedMemory()),
    packer: new LanePacker(),
    policy: assignment.policy,
    bytesPerSecondMax: assignment.bytesPerSecondMax,
    dial: async () =>
      dialLink({
        ...assignment.processServer,
        tls: await tlsOptions(assignment.tls),
        accepts: (name) => name.startsWith('process-server/'),
        clock,
      }),
    swapRanges: () => Promise.all(opened.map(async ({ whole }) => (whole ? swapRangesOf(whole) : []))),
    onStill: (isStill) => still.set(isStill),
  });
  onStarted(replication);
  if (!canary && found.length > 0) replication.health.raise(errors.NoCanary(folders.state));
  for (const { disk, events } of opened)
    for (const event of events) replication.health.raise(event, { diskId: disk.diskId });
  const over = new AbortController();
  const telling = tellStatus(folders, replication, still, { clock, log }, over.signal);
  const again = new AbortController();
  const waiting = untilOthersCome(
    opened,
    assignment,
    { state, bootId, clock, access, log },
    over.signal,
    () => again.abort(),
  );
  try {
    await replication.run(AbortSignal.any([stop, again.signal]));
  } finally {
    over.abort();
    await telling;
    await waiting;
  }
}

/** What the thaw helper needs; undefined where there is none. The note lies on tmpfs. */
function thawOf(folders: ServiceFolders): { helperPath: string; notePath: string } | undefined {
  if (folders.thawHelper === undefined) return undefined;
  return { helperPath: folders.thawHelper, notePath: join(folders.runtime, 'frozen') };
}

/** What the write brake needs; undefined where there is none. The note lies on tmpfs. */
function brakeOf(folders: ServiceFolders): { helperPath: string; notePath: string } | undefined {
  if (folders.writeBrake === undefined) return undefined;
  return { helperPath: folders.writeBrake, notePath: join(folders.runtime, 'held') };
}

/** As cgroups name a device. */
const numbersOf = ({ deviceNumber }: WholeDisk) => `${deviceNumber >>> 20}:${deviceNumber & 0xf_ffff}`;

/** Memory for what is read while writers are held: a share of the machine's, as far as the unit's limit leaves room.
 * `constrainedBytes`: 0 or more than the machine has where there is no limit. */
export function heldBytesOf(machineBytes: number, constrainedBytes: number): number {
  const share = Math.floor(machineBytes / heldMemoryShare);
  const room = constrainedBytes > 0 ? constrainedBytes - serviceBytesMax : Number.POSITIVE_INFINITY;
  return Math.max(heldBytesMin, Math.min(heldBytesMax, share, room));
}

/** A file on a protected disk when the state folder lies on one; else nothing can be written there unasked. */
async function canaryOf(found: readonly WholeDisk[], folder: string, log: Log) {
  if (!(await isFolderOn(found, folder))) {
    log.info('no-canary', { why: `${folder} is not on a protected disk` });
    return undefined;
  }
  return fileCanary(
    systemFiles,
    join(folder, 'canary'),
    found.map((disk) => disk.deviceNumber),
  );
}

/** Nobody writes a file between freeze and thaw, or while writers are held: the file system may be the frozen one. */
class StatusGate {
  #isStill = false;
  #writing: Promise<void> = Promise.resolve();

  async set(isStill: boolean): Promise<void> {
    this.#isStill = isStill;
    if (isStill) await this.#writing;
  }

  async write(work: () => Promise<void>): Promise<void> {
    if (this.#isStill) return;
    this.#writing = work();
    await this.#writing;
  }
}

async function tellStatus(
  folders: ServiceFolders,
  replication: Replication,
  gate: StatusGate,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  over: AbortSignal,
): Promise<void> {
  const path = join(folders.runtime, 'status.json');
  let isFailing = false;
  // Replication goes on when nobody can be told of it.
  const write = async (): Promise<void> => {
    try {
      await writeStatus();
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn('status-not-written', { error });
      isFailing = true;
    }
  };
  const writeStatus = () => {
    const status: ServiceStatus = {
      ...replication.status(),
      residentBytes: process.memoryUsage.rss(),
      writtenAt: new Date(clock.now()).toISOString(),
    };
    return writeDurably(systemFiles, path, Buffer.from(`${JSON.stringify(status)}\n`));
  };
  while (!over.aborted) {
    await gate.write(write);
    await pause(clock, statusMilliseconds, over);
  }
  await gate.write(write);
}

/** What the running service wrote last. Throws `StatusUnknown`. */
export async function readStatus(folders: Pick<ServiceFolders, 'runtime'>): Promise<ServiceStatus> {
  const path = join(folders.runtime, 'status.json');
  const bytes = await readWhole(systemFiles, path, statusBytesMax);
  if (!bytes) throw errors.StatusUnknown(path);
  return JSON.parse(bytes.toString()) as ServiceStatus;
}
