/**
 * The freezer of a real machine: FIFREEZE and FITHAW through the thaw helper (`thaw-helper.c`), which is a family of processes of
 * its own, is started before anything stands still, and thaws by itself whatever becomes of this one.
 *
 *     prepare: mounts ─▶ one a superblock ─▶ without those that hung ─▶ helper opens of each the first mount point that leads to it
 *     freeze:  F ─▶ write back, FIFREEZE in order ─▶ frozen            thaw: T ─▶ FITHAW, all at once ─▶ thawed
 *
 * Promises:
 * - A session serves one attempt; its handles are open only meanwhile, so that nobody's umount is in the way for long.
 * - When `thaw` resolves, no file system was let go before it was called. Everything else throws, and the point is void.
 * - No file system stands still for longer than the deadline and a second, whatever the kernel does to another: each is thawed by a
 *   process of its own. If the helper falls silent, everything that its note names is released from here.
 * - Nothing here waits for a process that the kernel does not come back to. While there is one, no attempt is made; when it has
 *   been gone for too long its file system is left out by name (`left-out.ts`), and the others are frozen without it.
 * - The names of what may be frozen lie in a note on tmpfs from before the freeze until after the thaw. If everything is
 *   killed at once, `releaseFrozen` (at the service's start) and the unit's ExecStopPost work through it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';
import { tryRun } from '../../platform/exec.ts';
import type { Log } from '../../platform/log.ts';
import { errors } from './errors.ts';
import type { Freezer, FreezeSession, FrozenTime } from './freezer.ts';
import { allLeftOut, leaveOut, leftOutFile, leftOutFolder } from './left-out.ts';
import {
  answerMarginMilliseconds,
  freezeDeadlineMillisecondsMax,
  helperEndMillisecondsMax,
  helperSilenceMilliseconds,
  hungMilliseconds,
  hungWriteBackMilliseconds,
  lastWriteBackMillisecondsMax,
  mountListBytesMax,
  mountPointsTriedMax,
  mountsMax,
  prepareMillisecondsMax,
  releaseMillisecondsMax,
  writeBackMillisecondsMax,
} from './limits.ts';
import { type MountEntry, parseMountTable } from './mount-table.ts';
import { type Answer, openThawLink, parseNumbers, type ThawLink } from './thaw-link.ts';

export interface FreezeMount {
  readonly mountPoint: string;
  /** Device number of the superblock as `/proc/self/mountinfo` shows it, e.g. `253:1`. */
  readonly device: string;
}

/** What brings the applications to rest around the freeze; see `applications.ts`. */
export interface Applications {
  pre(): Promise<void>;
  post(): Promise<void>;
}

export interface HelperFreezerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The compiled thaw helper. */
  readonly helperPath: string;
  /** On tmpfs (the unit's runtime directory), never on a disk: notes are files with this name and a process id. */
  readonly notePath: string;
  /** What to freeze, in this order: upper layers first. Asked at each `prepare`. All mount points of a file system that lead to it
   * serve; the first that opens is used. */
  readonly mounts: () => Promise<readonly FreezeMount[]>;
  readonly applications: Applications;
  /** Takes what a person must know of: a file system that hangs and is left out. */
  readonly report?: ((error: LeewardError) => void) | undefined;
  /** What a session may ask for at most; the helper itself refuses anything over 10 s. Default: what applications bear. */
  readonly deadlineMillisecondsMax?: number;
  /** Defaults: `limits.ts`. */
  readonly writeBackMillisecondsMax?: number;
  readonly hungMilliseconds?: number;
}

/** One file system, by any of its mount points. */
interface Superblock {
  readonly device: string;
  /** The one that is used, when that is known. */
  readonly mountPoint: string;
  readonly mountPoints: readonly string[];
}

/** A helper that has been let go of, and whose last process has not ended. */
interface Lingering {
  readonly link: ThawLink;
  /** What the kernel does not come back to, as far as it is known. */
  readonly late: readonly Superblock[];
  /** `freezing`, `writing back` … */
  readonly step: string;
  readonly hungAt: number;
  hasEnded: boolean;
  isLeftOut: boolean;
}

interface Shared extends HelperFreezerOptions {
  readonly lingering: Lingering[];
  /** Notes that an earlier run left, and that could not be released: told once. */
  readonly stuckNotes: Set<string>;
}

export function createHelperFreezer(options: HelperFreezerOptions): Freezer {
  const shared: Shared = { ...options, lingering: [], stuckNotes: new Set() };
  return {
    prepare: () => prepare(shared),
    pre: () => options.applications.pre(),
    post: () => options.applications.post(),
  };
}

/** After a crash that killed the helper too: thaws whatever its notes name. Answers how many file systems that let go. Throws
 * `ThawFailed` with those that are still stuck. */
export async function releaseFrozen(
  options: Pick<HelperFreezerOptions, 'helperPath' | 'notePath'>,
): Promise<number> {
  const { helperPath, notePath } = options;
  const result = await tryRun(helperPath, ['--release', notePath], {
    timeoutMilliseconds: releaseMillisecondsMax,
  });
  if (result.exitCode !== 0) {
    const names = (await notesOf(notePath)).flatMap(({ mountPoints }) => mountPoints);
    throw errors.ThawFailed(
      names.length > 0 ? names.join(', ') : `what ${notePath} names: ${result.stdout.trim()}`,
    );
  }
  return Number(/thawed=(\d+)/.exec(result.stdout)?.[1] ?? 0);
}

interface Note {
  readonly path: string;
  readonly processId: number;
  readonly mountPoints: readonly string[];
}

/** `<note>.<process id>`: mount points, each followed by the process that serves it. */
async function notesOf(notePath: string): Promise<Note[]> {
  const [folder, name] = [dirname(notePath), basename(notePath)];
  const found: Note[] = [];
  for (const each of await readdir(folder).catch(() => [])) {
    if (!each.startsWith(`${name}.`) || !/^\d+$/.test(each.slice(name.length + 1))) continue;
    const path = join(folder, each);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) continue;
      throw error;
    }
    const mountPoints = text.split('\0').filter((_, index, all) => index % 2 === 0 && index < all.length - 1);
    found.push({ path, processId: Number(each.slice(name.length + 1)), mountPoints });
  }
  return found;
}

async function prepare(shared: Shared): Promise<FreezeSession> {
  await settle(shared);
  const all = superblocksOf(await shared.mounts());
  // A leaf adapter to /proc, which is no file system that can be frozen; hence node:fs.
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  await releaseEarlier(shared, table);
  const folder = leftOutFolder(shared.notePath);
  const entries = await allLeftOut(folder, new Set(table.map(({ device }) => device)));
  const hung = new Map(entries.map((entry) => [entry.device, entry]));
  const superblocks = all.filter(({ device }) => !hung.has(device));
  const left = all.filter(({ device }) => hung.has(device));
  for (const { device } of left) {
    const { mountPoint, step } = hung.get(device)!;
    shared.report?.(errors.FileSystemHung(mountPoint, step, leftOutFile(folder, device)));
  }
  const leftOut =
    left.length === 0
      ? undefined
      : errors.FileSystemsLeftOut(left.map(({ mountPoint }) => mountPoint).join(', '), folder);
  if (superblocks.length > mountsMax) throw errors.TooManyMounts(superblocks.length, mountsMax);
  if (superblocks.length === 0) return { ...nothingToFreeze, leftOut };

  const link = openThawLink(shared.helperPath, shared.notePath, listFor(superblocks, table));
  try {
    const answer = await withDeadline(shared.clock, prepareMillisecondsMax, link.next(), () =>
      errors.ThawHelperUnusable(shared.helperPath, 'it does not get ready'),
    );
    if (answer?.word === 'failed' && answer.fields.step === 'open') {
      const superblock = superblocks[Number(answer.fields.index)];
      if (superblock) throw unopenable(superblock, Number(answer.fields.errno), table);
    }
    if (answer?.word !== 'ready')
      throw errors.ThawHelperUnusable(shared.helperPath, link.complaint() || describe(answer));
    const paths = parseNumbers(answer.fields.paths);
    const opened = superblocks.map((each, index) => ({
      ...each,
      mountPoint: each.mountPoints[paths[index] ?? 0] ?? each.mountPoint,
    }));
    return new HelperSession(shared, link, opened, leftOut);
  } catch (error) {
    const late =
      hasCode(error, 'MountUnreachable') && (error as LeewardError).context.isLate === true
        ? superblocks.filter(({ mountPoint }) => mountPoint === (error as LeewardError).context.mountPoint)
        : [];
    await letGo(shared, link, late, 'opening', hungMilliseconds);
    throw error;
  }
}

/** 110 is ETIMEDOUT, which the helper says of a mount point that it does not come back from opening; 116 is ESTALE, of one that
 * leads elsewhere: something is mounted over it, or it is hidden by the unit's sandbox. The file system that was meant would go on
 * writing while we believe that it stands still. */
function unopenable(superblock: Superblock, errno: number, table: readonly MountEntry[]): LeewardError {
  const { device, mountPoint, mountPoints } = superblock;
  const names = mountPoints.join(', ');
  if (errno === 110) {
    const error = errors.MountUnreachable(mountPoint, 'the kernel does not come back from opening it');
    return Object.assign(error, { context: { ...error.context, isLate: true } });
  }
  if (errno !== 116) return errors.MountUnreachable(names, `it does not open (errno ${errno})`);
  const over = table.filter((entry) => entry.mountPoint === mountPoint && entry.device !== device).at(-1);
  return errors.MountUnreachable(
    names,
    over === undefined
      ? `the kernel does not say that the path leads to ${device}`
      : `the path leads to ${over.device} (${over.fileSystemType}), not to ${device}`,
  );
}

/** Upper layers first, as they were given; of each all mount points, the shortest first: those that containers and chroots make
 * are long, and are the ones that cannot be opened. */
function superblocksOf(mounts: readonly FreezeMount[]): Superblock[] {
  const byDevice = new Map<string, string[]>();
  for (const { device, mountPoint } of mounts) {
    const known = byDevice.get(device);
    if (known) known.push(mountPoint);
    else byDevice.set(device, [mountPoint]);
  }
  return [...byDevice].map(([device, paths]) => {
    const mountPoints = paths.sort((one, other) => one.length - other.length).slice(0, mountPointsTriedMax);
    return { device, mountPoint: mountPoints[0]!, mountPoints };
  });
}

/** As `thaw-helper.c` wants it: of each file system the mount ids that lead to it, then its mount points. */
function listFor(superblocks: readonly Superblock[], table: readonly MountEntry[]): string {
  const ids = Map.groupBy(table, ({ device }) => device);
  // Where all of them do not fit, the shorter ones do.
  for (let tried = mountPointsTriedMax; tried >= 1; tried >>= 1) {
    const list = superblocks.map(({ device, mountPoints }) => {
      const known = (ids.get(device) ?? []).slice(0, mountPointsTriedMax).map(({ mountId }) => mountId);
      const paths = mountPoints.slice(0, tried);
      return `${[known.join(',') || '-', ...paths].map((text) => `${text}\0`).join('')}\0`;
    });
    const text = `${list.join('')}\0`;
    if (Buffer.byteLength(text) < mountListBytesMax) return text;
  }
  throw errors.TooManyMounts(superblocks.length, mountsMax);
}

/** Helpers that have not ended: while the kernel may still come back from one, nothing is frozen; then it is left out. */
async function settle(shared: Shared): Promise<void> {
  const now = shared.clock.monotonic();
  shared.lingering.splice(
    0,
    shared.lingering.length,
    ...shared.lingering.filter(({ hasEnded }) => !hasEnded),
  );
  for (const each of shared.lingering) {
    if (each.isLeftOut) continue;
    const names = each.late.map(({ mountPoint }) => mountPoint).join(', ');
    if (now < each.hungAt && names !== '') throw errors.FreezeLate(names, each.step);
    if (names === '')
      throw errors.ThawHelperUnusable(shared.helperPath, `process ${each.link.processId} does not end`);
    each.isLeftOut = true;
    for (const { device, mountPoint } of each.late)
      await setAside(shared, { device, mountPoint, step: each.step });
  }
}

async function setAside(
  shared: Pick<Shared, 'clock' | 'notePath' | 'report' | 'log'>,
  entry: { readonly device: string; readonly mountPoint: string; readonly step: string },
): Promise<void> {
  const folder = leftOutFolder(shared.notePath);
  await leaveOut(folder, entry, new Date(shared.clock.now()).toISOString());
  shared.log.error('file-system-hangs', { ...entry });
  shared.report?.(errors.FileSystemHung(entry.mountPoint, entry.step, leftOutFile(folder, entry.device)));
}

/** Notes of helpers that were killed together with all their processes, by an earlier run or by somebody. What is still stuck
 * then is left out, like what hangs under our own eyes. */
async function releaseEarlier(shared: Shared, table: readonly MountEntry[]): Promise<void> {
  const ours = new Set(shared.lingering.map(({ link }) => link.processId));
  const earlier = (await notesOf(shared.notePath)).filter(
    ({ path, processId }) => !ours.has(processId) && !shared.stuckNotes.has(path),
  );
  // Where nothing is known to be stuck, the helper looks for itself: it is then known to start, too.
  if (earlier.length === 0 && shared.lingering.length + shared.stuckNotes.size > 0) return;
  try {
    await releaseFrozen(shared);
  } catch (error) {
    if (!hasCode(error, 'ThawFailed')) throw error;
    await setStuckAside(shared, table, ours);
  }
}

async function setStuckAside(
  shared: Pick<Shared, 'clock' | 'notePath' | 'report' | 'log' | 'stuckNotes'>,
  table: readonly MountEntry[],
  except: ReadonlySet<number | undefined>,
): Promise<void> {
  for (const { path, processId, mountPoints } of await notesOf(shared.notePath)) {
    if (except.has(processId)) continue;
    shared.stuckNotes.add(path);
    for (const mountPoint of mountPoints) {
      const device = table.findLast((entry) => entry.mountPoint === mountPoint)?.device;
      if (device !== undefined) await setAside(shared, { device, mountPoint, step: 'thawing' });
    }
  }
}

/** At the service's start. Answers how many file systems it let go; one that the kernel does not come back to is no reason not to
 * start: it is left out of freezes, and told of. */
export async function releaseAtStart(
  options: Pick<HelperFreezerOptions, 'helperPath' | 'notePath' | 'clock' | 'log'>,
): Promise<number> {
  try {
    return await releaseFrozen(options);
  } catch (error) {
    if (!hasCode(error, 'ThawFailed')) throw error;
    options.log.error('not-thawed', { error });
    const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
    await setStuckAside({ ...options, report: undefined, stuckNotes: new Set() }, table, new Set());
    return 0;
  }
}

/** Hangs up. A helper that has nothing left to do ends at once; any other is not waited for, but remembered. */
async function letGo(
  shared: Shared,
  link: ThawLink,
  late: readonly Superblock[],
  step: string,
  patienceMilliseconds: number,
): Promise<void> {
  link.hangUp();
  const { clock, lingering } = shared;
  const entry: Lingering = {
    link,
    late,
    step,
    hungAt: clock.monotonic() + (shared.hungMilliseconds ?? patienceMilliseconds),
    hasEnded: false,
    isLeftOut: false,
  };
  const ended = link.ended.then(() => {
    entry.hasEnded = true;
  });
  const over = new AbortController();
  if (late.length === 0)
    await Promise.race([ended, clock.sleep(helperEndMillisecondsMax, over.signal).catch(() => {})]);
  over.abort();
  if (!entry.hasEnded) lingering.push(entry);
}

class HelperSession implements FreezeSession {
  readonly mountPoints: readonly string[];
  readonly leftOut: LeewardError | undefined;
  readonly #shared: Shared;
  readonly #link: ThawLink;
  readonly #superblocks: readonly Superblock[];
  #state: 'ready' | 'frozen' | 'over' = 'ready';
  #running: readonly string[] = [];
  #late: readonly Superblock[] = [];
  #lateStep = 'freezing';
  #patienceMilliseconds = hungMilliseconds;
  #deadline = 0;
  /** Ends the watch over a helper that may fall silent. */
  #heard = new AbortController();
  #released: Promise<unknown> | undefined;

  constructor(
    shared: Shared,
    link: ThawLink,
    superblocks: readonly Superblock[],
    leftOut: LeewardError | undefined,
  ) {
    this.#shared = shared;
    this.#link = link;
    this.#superblocks = superblocks;
    this.mountPoints = superblocks.map(({ mountPoint }) => mountPoint);
    this.leftOut = leftOut;
  }

  /** The helper writes back again right before it freezes; that is then what was dirtied since. */
  async writeBack(): Promise<void> {
    if (this.#state !== 'ready') throw errors.FreezeFailed(undefined, 'this session has served already');
    const limit = this.#shared.writeBackMillisecondsMax ?? writeBackMillisecondsMax;
    this.#link.send(`S${limit}\n`);
    const answer = await this.#answer(limit + answerMarginMilliseconds, () =>
      errors.FreezeFailed(undefined, 'the thaw helper does not answer'),
    );
    if (answer?.word !== 'synced') throw await this.#killed();
    this.#noteLate(answer, 'writing back');
    if (this.#late.length > 0) {
      this.#state = 'over';
      throw errors.FreezeFailed(this.#lateNames(), `its data were not written back within ${limit} ms`);
    }
    if (answer.fields.errno !== '0')
      throw errors.FreezeFailed(undefined, `writing back failed with errno ${answer.fields.errno}`);
  }

  async freeze(deadlineMilliseconds: number): Promise<void> {
    if (this.#state !== 'ready') throw errors.FreezeFailed(undefined, 'this session has served already');
    // Frozen from here on, whatever we hear: the way out is `thaw` or the disposal.
    this.#state = 'frozen';
    const { deadlineMillisecondsMax = freezeDeadlineMillisecondsMax } = this.#shared;
    const deadline = Math.max(1, Math.min(Math.round(deadlineMilliseconds), deadlineMillisecondsMax));
    this.#deadline = deadline;
    const last = Math.min(
      lastWriteBackMillisecondsMax,
      this.#shared.writeBackMillisecondsMax ?? lastWriteBackMillisecondsMax,
    );
    this.#link.send(`F${deadline},${last}\n`);
    const silent = () => errors.FreezeFailed(undefined, 'the thaw helper does not answer');
    let answer = await this.#answer(last + answerMarginMilliseconds, silent);
    if (answer?.word === 'freezing') {
      this.#watch(deadline + helperSilenceMilliseconds);
      answer = await this.#answer(deadline + answerMarginMilliseconds, silent);
    }
    if (answer?.word === 'frozen') {
      this.#running = parseNumbers(answer.fields.unfreezable).map((index) => this.mountPoints[index]!);
      return;
    }
    if (answer === undefined) throw await this.#killed();
    this.#over();
    if (answer.word === 'failed') {
      this.#noteLate(answer, answer.fields.step === 'sync' ? 'writing back' : 'freezing');
      const mountPoint = this.mountPoints[Number(answer.fields.index)];
      if (answer.fields.step === 'sync')
        throw errors.FreezeFailed(this.#lateNames(), `its data were not written back within ${last} ms`);
      // 16 is EBUSY: frozen by somebody else.
      if (answer.fields.errno === '16') throw errors.FreezeBusy(mountPoint ?? '?');
      throw errors.FreezeFailed(mountPoint, `errno ${answer.fields.errno}`);
    }
    if (answer.word === 'thawed') {
      this.#noteLate(answer, 'freezing');
      this.#assertWhole(answer);
      throw errors.FreezeFailed(
        this.#lateNames(),
        `it took longer than ${deadline} ms (${answer.fields.reason})`,
      );
    }
    if (answer.word === 'orphaned') {
      this.#noteLate(answer, 'freezing');
      throw errors.FreezeExpired('the thaw helper was stopped or killed');
    }
    throw errors.ThawHelperUnusable(this.#shared.helperPath, describe(answer));
  }

  async thaw(): Promise<FrozenTime> {
    if (this.#state !== 'frozen') throw errors.FreezeExpired('nothing was frozen');
    this.#link.send('T');
    const answer = await this.#answer(this.#deadline + answerMarginMilliseconds, () =>
      errors.FreezeExpired('the thaw helper does not answer'),
    );
    if (answer === undefined) throw await this.#killed();
    this.#over();
    if (answer.word !== 'thawed' && answer.word !== 'orphaned')
      throw errors.ThawHelperUnusable(this.#shared.helperPath, describe(answer));
    this.#noteLate(answer, 'thawing');
    if (this.#late.length > 0) throw errors.ThawLate(this.#lateNames()!);
    // From the guard, when the helper itself was stopped by somebody and slept over the deadline, or was killed.
    if (answer.word === 'orphaned') throw errors.FreezeExpired('the thaw helper was stopped or killed');
    this.#assertWhole(answer);
    const foreign = parseNumbers(answer.fields.foreign).map((index) => this.mountPoints[index]);
    if (foreign.length > 0) throw errors.FreezeExpired(`somebody else thawed ${foreign.join(', ')}`);
    if (answer.fields.reason !== 'command') throw errors.FreezeExpired(answer.fields.reason ?? 'unknown');
    return {
      frozenMilliseconds: Number(answer.fields.frozenUs) / 1000,
      ...(this.#running.length === 0 ? {} : { runningMountPoints: this.#running }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The end of its input makes the helper thaw if something stands still, and end.
    await letGo(this.#shared, this.#link, this.#late, this.#lateStep, this.#patienceMilliseconds);
    try {
      if (this.#state === 'frozen') await this.#release();
    } catch (error) {
      this.#shared.log.error('not-thawed', { error, processId: this.#link.processId });
    }
    this.#over();
  }

  async #answer(milliseconds: number, late: () => LeewardError): Promise<Answer | undefined> {
    return await withDeadline(this.#shared.clock, milliseconds, this.#link.next(), late);
  }

  /** From the first FIFREEZE on: when nothing is heard of the helper for too long, or all its processes are dead, what its note
   * names is released from here, whatever this session is waiting for. */
  #watch(milliseconds: number): void {
    const { signal } = this.#heard;
    const release = (): void => {
      if (!signal.aborted) this.#release().catch(() => {});
    };
    this.#shared.clock.sleep(milliseconds, signal).then(release, () => {});
    void this.#link.ended.then(release);
  }

  /** Once; who asks again waits for the same. */
  #release(): Promise<unknown> {
    this.#released ??= releaseFrozen(this.#shared);
    return this.#released;
  }

  #over(): void {
    this.#state = 'over';
    this.#heard.abort();
  }

  #noteLate(answer: Answer, step: string): void {
    this.#late = parseNumbers(answer.fields.late).map((index) => this.#superblocks[index]!);
    this.#lateStep = step;
    this.#patienceMilliseconds = step === 'writing back' ? hungWriteBackMilliseconds : hungMilliseconds;
  }

  #lateNames(): string | undefined {
    return this.#late.length === 0 ? undefined : this.#late.map(({ mountPoint }) => mountPoint).join(', ');
  }

  #assertWhole(answer: Answer): void {
    const broken = parseNumbers(answer.fields.broken).map((index) => this.mountPoints[index]);
    if (broken.length > 0) throw errors.ThawFailed(broken.join(', '));
  }

  /** The helper is gone without a word, and all its processes with it: the note is still there. */
  async #killed(): Promise<LeewardError> {
    try {
      await this.#release();
    } catch (error) {
      if (hasCode(error, 'ThawFailed')) return error as LeewardError;
      throw error;
    } finally {
      this.#over();
    }
    return errors.FreezeExpired('the thaw helper was killed');
  }
}

/** All disks unmounted, or only raw data on them: reading them is consistent as it is, as far as file systems go. */
const nothingToFreeze: FreezeSession = {
  mountPoints: [],
  writeBack: async () => {},
  freeze: async () => {},
  thaw: async () => ({ frozenMilliseconds: 0 }),
  [Symbol.asyncDispose]: async () => {},
};

function describe(answer: Answer | undefined): string {
  if (answer === undefined) return 'it ended without a word';
  return `${answer.word} ${Object.entries(answer.fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')}`;
}
