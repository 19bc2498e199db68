/**
 * The write brake of a real machine: the kernel's blk-throttle through cgroups, by a program of its own (`write-brake.c`) that
 * is started before anything is held and lets go by itself whatever becomes of this process.
 *
 *     prepare: devices ─▶ program finds hierarchy and groups ─▶ ready
 *     hold:    B ─▶ looks for groups again, notes what was there, sets limits ─▶ holding      release: R ─▶ puts back ─▶ released
 *
 * Promises:
 * - Limits that were there before are put back exactly, and those that somebody else sets meanwhile stay.
 * - What is held lies in a note on tmpfs from before the hold until after the release. If everything is killed at once,
 *   `releaseHeld` (at the service's start) and the unit's ExecStopPost work through it.
 * - While writers are held everything here is memory and a pipe: no file is touched, nothing is logged.
 */
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { tryRun } from '../../platform/exec.ts';
import type { Log } from '../../platform/log.ts';
import type { Brake, BrakeSession, HeldTime, HeldWrites } from './brake.ts';
import { errors } from './errors.ts';
import { brakeAnswerMillisecondsMax, holdMillisecondsMax, prepareMillisecondsMax } from './limits.ts';
import { type Answer, openThawLink, type ThawLink } from './thaw-link.ts';

export interface WriteBrakeOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The compiled program. */
  readonly helperPath: string;
  /** A file on tmpfs (the unit's runtime directory), never on a disk. */
  readonly notePath: string;
  /** Whole disks, e.g. `8:0`; the throttle knows no partitions, and limits what goes to one by its disk. */
  readonly deviceNumbers: () => readonly string[];
}

export function createWriteBrake(options: WriteBrakeOptions): Brake {
  return { prepare: () => prepare(options) };
}

/** After a crash that killed the program too: puts back what its note names. Answers how many limits that took away. */
export async function releaseHeld(
  options: Pick<WriteBrakeOptions, 'helperPath' | 'notePath'>,
): Promise<number> {
  const { helperPath, notePath } = options;
  const result = await tryRun(helperPath, ['--release', notePath], {
    timeoutMilliseconds: brakeAnswerMillisecondsMax,
  });
  if (result.exitCode !== 0) throw errors.BrakeStuck(`what ${notePath} names: ${result.stdout.trim()}`);
  return Number(/limits=(\d+)/.exec(result.stdout)?.[1] ?? 0);
}

async function prepare(options: WriteBrakeOptions): Promise<BrakeSession> {
  // A note that is still there belongs to a program that was killed together with its guard.
  await releaseHeld(options);
  const devices = options.deviceNumbers().map((number) => `${number}\0`);
  const link = openThawLink(options.helperPath, options.notePath, `${devices.join('')}\0`);
  try {
    const answer = await withDeadline(options.clock, prepareMillisecondsMax, link.next(), () =>
      errors.BrakeUnusable('its program does not get ready'),
    );
    if (answer?.word === 'failed' && answer.fields.step === 'cgroup')
      throw errors.BrakeUnusable('no cgroup hierarchy with the block I/O controller is mounted');
    if (answer?.word !== 'ready') throw errors.BrakeUnusable(link.complaint() || describe(answer));
    return new Session(options, link, answer.fields.root === 'held');
  } catch (error) {
    link.hangUp();
    throw error;
  }
}

class Session implements BrakeSession {
  readonly #options: WriteBrakeOptions;
  readonly #link: ThawLink;
  readonly #isRootHeld: boolean;
  #state: 'ready' | 'holding' | 'over' = 'ready';

  constructor(options: WriteBrakeOptions, link: ThawLink, isRootHeld: boolean) {
    this.#options = options;
    this.#link = link;
    this.#isRootHeld = isRootHeld;
  }

  async hold(deadlineMilliseconds: number): Promise<HeldWrites> {
    if (this.#state !== 'ready') throw errors.BrakeUnusable('its program has ended');
    // Held from here on, whatever we hear: the way out is `release` or the disposal.
    this.#state = 'holding';
    const deadline = Math.max(1, Math.min(Math.round(deadlineMilliseconds), holdMillisecondsMax));
    this.#link.send(`B${deadline}\n`);
    const answer = await this.#answer();
    if (answer?.word !== 'holding') {
      this.#state = 'over';
      throw errors.BrakeUnusable(describe(answer));
    }
    const names = answer.fields.names === '-' ? [] : (answer.fields.names ?? '').split(',');
    const more = Number(answer.fields.unheld) - names.length;
    return {
      unheld: [
        ...(this.#isRootHeld ? [] : ['the root group']),
        ...names.map((name) => (name === '/' ? 'the root group' : name)),
        ...(more > 0 ? [`${more} more`] : []),
      ],
    };
  }

  async release(): Promise<HeldTime> {
    if (this.#state !== 'holding') throw errors.BrakeUnusable('nothing was held');
    this.#link.send('R');
    const answer = await this.#answer();
    if (answer?.word === 'released') {
      if (answer.fields.broken !== '0') {
        this.#state = 'over';
        throw errors.BrakeStuck(`${answer.fields.broken} limits`);
      }
      const { reason } = answer.fields;
      this.#state = reason === 'command' || reason === 'deadline' ? 'ready' : 'over';
      return { heldMilliseconds: Number(answer.fields.heldUs) / 1000, isByCommand: reason === 'command' };
    }
    this.#state = 'over';
    // From the guard, when the program itself was stopped or killed. If both were, the note is still there.
    if (answer?.word !== 'orphaned') await releaseHeld(this.#options);
    throw errors.BrakeUnusable('its program was stopped or killed while it held writes back');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The end of its input makes the program let go if something is held, and end.
    this.#link.hangUp();
    try {
      await withDeadline(this.#options.clock, brakeAnswerMillisecondsMax, this.#link.ended, () =>
        errors.BrakeUnusable('its program does not end'),
      );
      if (this.#state !== 'ready') await releaseHeld(this.#options);
    } catch (error) {
      this.#options.log.error('write-brake-hangs', { error, processId: this.#link.processId });
    }
    this.#state = 'over';
  }

  async #answer(): Promise<Answer | undefined> {
    return await withDeadline(this.#options.clock, brakeAnswerMillisecondsMax, this.#link.next(), () =>
      errors.BrakeUnusable('its program does not answer'),
    );
  }
}

function describe(answer: Answer | undefined): string {
  if (answer === undefined) return 'its program ended without a word';
  return `${answer.word} ${Object.entries(answer.fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')}`;
}
