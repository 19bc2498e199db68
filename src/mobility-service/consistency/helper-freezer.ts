/**
 * The freezer of a real machine: FIFREEZE and FITHAW through the thaw helper (`thaw-helper.c`), which is a process of its
 * own, is started before anything stands still, and thaws by itself whatever becomes of this one.
 *
 *     prepare: mounts ─▶ one a superblock ─▶ helper opens handles ─▶ its mount ids are compared with what was meant
 *     freeze:  F ─▶ write back, FIFREEZE in order ─▶ frozen            thaw: T ─▶ FITHAW in reverse ─▶ thawed
 *
 * Promises:
 * - A session serves one attempt; its handles are open only meanwhile, so that nobody's umount is in the way for long.
 * - When `thaw` resolves, no file system was let go before it was called. Everything else throws, and the point is void.
 * - The names of what may be frozen lie in a note on tmpfs from before the freeze until after the thaw. If everything is
 *   killed at once, `releaseFrozen` (at the service's start) and the unit's ExecStopPost work through it.
 */
import { readFile } from 'node:fs/promises';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';
import { run, tryRun } from '../../platform/exec.ts';
import type { Log } from '../../platform/log.ts';
import { errors } from './errors.ts';
import type { Freezer, FreezeSession, FrozenTime } from './freezer.ts';
import {
  freezeAnswerMillisecondsMax,
  freezeDeadlineMillisecondsMax,
  mountListBytesMax,
  mountsMax,
  prepareMillisecondsMax,
  thawAnswerMillisecondsMax,
  writeBackMillisecondsMax,
} from './limits.ts';
import { parseMountTable } from './mount-table.ts';
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
  /** A file on tmpfs (the unit's runtime directory), never on a disk. */
  readonly notePath: string;
  /** What to freeze, in this order: upper layers first. Asked at each `prepare`. */
  readonly mounts: () => Promise<readonly FreezeMount[]>;
  readonly applications: Applications;
  /** What a session may ask for at most; the helper itself refuses anything over 10 s. Default: what applications bear. */
  readonly deadlineMillisecondsMax?: number;
}

export function createHelperFreezer(options: HelperFreezerOptions): Freezer {
  return {
    prepare: () => prepare(options),
    pre: () => options.applications.pre(),
    post: () => options.applications.post(),
  };
}

/** After a crash that killed the helper too: thaws whatever its note names. Answers how many file systems that let go. */
export async function releaseFrozen(
  options: Pick<HelperFreezerOptions, 'helperPath' | 'notePath'>,
): Promise<number> {
  const { helperPath, notePath } = options;
  const result = await tryRun(helperPath, ['--release', notePath], {
    timeoutMilliseconds: thawAnswerMillisecondsMax,
  });
  if (result.exitCode !== 0) throw errors.ThawFailed(`what ${notePath} names: ${result.stdout.trim()}`);
  return Number(/thawed=(\d+)/.exec(result.stdout)?.[1] ?? 0);
}

async function prepare(options: HelperFreezerOptions): Promise<FreezeSession> {
  // A note that is still there belongs to a helper that was killed together with its guard.
  await releaseFrozen(options);
  const mounts = onePerSuperblock(await options.mounts());
  if (mounts.length > mountsMax) throw errors.TooManyMounts(mounts.length, mountsMax);
  const mountPoints = mounts.map((mount) => mount.mountPoint);
  if (mounts.length === 0) return nothingToFreeze;
  if (Buffer.byteLength(`${mountPoints.join('\0')}\0`) >= mountListBytesMax)
    throw errors.TooManyMounts(mounts.length, mountsMax);

  const gone = new AbortController();
  const link = openThawLink(options.helperPath, options.notePath, mountPoints);
  try {
    const answer = await withDeadline(options.clock, prepareMillisecondsMax, link.next(), () =>
      errors.ThawHelperUnusable(options.helperPath, 'it does not get ready'),
    );
    if (answer?.word === 'failed' && answer.fields.step === 'open') {
      const index = Number(answer.fields.index);
      if (mountPoints[index] !== undefined)
        throw errors.MountUnreachable(mountPoints[index], `it does not open (errno ${answer.fields.errno})`);
    }
    if (answer?.word !== 'ready')
      throw errors.ThawHelperUnusable(options.helperPath, link.complaint() || describe(answer));
    await checkMounts(mounts, parseNumbers(answer.fields.ids));
    return new HelperSession(options, link, mountPoints);
  } catch (error) {
    link.hangUp();
    // Its handles keep the mounts busy until it is gone; one that does not go is of no more interest than the error.
    await Promise.race([
      link.ended,
      options.clock.sleep(thawAnswerMillisecondsMax, gone.signal).catch(() => {}),
    ]);
    gone.abort();
    throw error;
  }
}

class HelperSession implements FreezeSession {
  readonly mountPoints: readonly string[];
  readonly #options: HelperFreezerOptions;
  readonly #link: ThawLink;
  #state: 'ready' | 'frozen' | 'over' = 'ready';
  #running: readonly string[] = [];

  constructor(options: HelperFreezerOptions, link: ThawLink, mountPoints: readonly string[]) {
    this.#options = options;
    this.#link = link;
    this.mountPoints = mountPoints;
  }

  /** The helper writes back again right before it freezes; that is then what was dirtied since. */
  async writeBack(): Promise<void> {
    for (const mountPoint of this.mountPoints)
      await run('sync', ['-f', mountPoint], { timeoutMilliseconds: writeBackMillisecondsMax });
  }

  async freeze(deadlineMilliseconds: number): Promise<void> {
    if (this.#state !== 'ready') throw errors.FreezeFailed(undefined, 'this session has served already');
    // Frozen from here on, whatever we hear: the way out is `thaw` or the disposal.
    this.#state = 'frozen';
    const { deadlineMillisecondsMax = freezeDeadlineMillisecondsMax } = this.#options;
    const deadline = Math.max(1, Math.min(Math.round(deadlineMilliseconds), deadlineMillisecondsMax));
    this.#link.send(`F${deadline}\n`);
    const answer = await this.#answer(freezeAnswerMillisecondsMax, () =>
      errors.FreezeFailed(undefined, 'the kernel does not come back from the freeze'),
    );
    if (answer?.word === 'frozen') {
      this.#running = parseNumbers(answer.fields.unfreezable).map((index) => this.mountPoints[index]!);
      return;
    }
    this.#state = 'over';
    if (answer?.word === 'failed') {
      const mountPoint = this.mountPoints[Number(answer.fields.index)];
      // 16 is EBUSY: frozen by somebody else.
      if (answer.fields.errno === '16') throw errors.FreezeBusy(mountPoint ?? '?');
      throw errors.FreezeFailed(mountPoint, `errno ${answer.fields.errno}`);
    }
    if (answer?.word === 'thawed') {
      this.#assertWhole(answer);
      throw errors.FreezeFailed(undefined, `it took longer than ${deadline} ms (${answer.fields.reason})`);
    }
    if (answer?.word === 'orphaned') throw errors.FreezeExpired('the thaw helper was stopped or killed');
    throw await this.#killed();
  }

  async thaw(): Promise<FrozenTime> {
    if (this.#state !== 'frozen') throw errors.FreezeExpired('nothing was frozen');
    this.#link.send('T');
    const answer = await this.#answer(thawAnswerMillisecondsMax, () =>
      errors.ThawFailed(this.mountPoints.join(', ')),
    );
    this.#state = 'over';
    // From the guard, when the helper itself was stopped by somebody and slept over the deadline, or was killed.
    if (answer?.word === 'orphaned') throw errors.FreezeExpired('the thaw helper was stopped or killed');
    if (answer?.word !== 'thawed') throw await this.#killed();
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
    this.#link.hangUp();
    try {
      await withDeadline(this.#options.clock, thawAnswerMillisecondsMax, this.#link.ended, () =>
        errors.ThawHelperUnusable(this.#options.helperPath, 'it does not end'),
      );
      if (this.#state === 'frozen') await releaseFrozen(this.#options);
    } catch (error) {
      this.#options.log.error('thaw-helper-hangs', { error, processId: this.#link.processId });
    }
    this.#state = 'over';
  }

  async #answer(milliseconds: number, late: () => LeewardError): Promise<Answer | undefined> {
    return await withDeadline(this.#options.clock, milliseconds, this.#link.next(), late);
  }

  #assertWhole(answer: Answer): void {
    const broken = parseNumbers(answer.fields.broken).map((index) => this.mountPoints[index]);
    if (broken.length > 0) throw errors.ThawFailed(broken.join(', '));
  }

  /** The helper is gone without a word. Its guard has thawed by now; if both were killed, the note is still there. */
  async #killed(): Promise<LeewardError> {
    try {
      await releaseFrozen(this.#options);
    } catch (error) {
      if (hasCode(error, 'ThawFailed')) return error as LeewardError;
      throw error;
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

function onePerSuperblock(mounts: readonly FreezeMount[]): FreezeMount[] {
  const seen = new Set<string>();
  return mounts.filter((mount) => !seen.has(mount.device) && seen.add(mount.device));
}

/** A path may lead elsewhere than meant: something mounted over it, or hidden by the unit's sandbox. Then the file system
 * that was meant would go on writing while we believe that it stands still. */
async function checkMounts(mounts: readonly FreezeMount[], ids: readonly number[]): Promise<void> {
  // A leaf adapter to /proc, which is no file system that can be frozen; hence node:fs.
  const table = new Map(
    parseMountTable(await readFile('/proc/self/mountinfo', 'utf8')).map((entry) => [entry.mountId, entry]),
  );
  for (const [index, mount] of mounts.entries()) {
    const entry = table.get(ids[index] ?? -1);
    if (entry === undefined)
      throw errors.MountUnreachable(mount.mountPoint, 'the kernel does not say which mount it is');
    if (entry.device !== mount.device)
      throw errors.MountUnreachable(
        mount.mountPoint,
        `the path leads to ${entry.device} (${entry.fileSystemType}), not to ${mount.device}`,
      );
  }
}

function describe(answer: Answer | undefined): string {
  if (answer === undefined) return 'it ended without a word';
  return `${answer.word} ${Object.entries(answer.fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')}`;
}
