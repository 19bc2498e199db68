/**
 * Scripts that the vault's orders run here, from one folder and by name. A run is claimed once and outlives this process
 * (`platform/outliving.ts`), so an order runs its script exactly once even when we are killed while it runs.
 */
import { join } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import type { LeewardError } from '../../platform/errors.ts';
import { mayRun } from '../../platform/may-run.ts';
import {
  forgetOutliving,
  lookAtOutliving,
  refuseOutliving,
  startOutliving,
  stopOutliving,
} from '../../platform/outliving.ts';
import { errors } from '../errors.ts';
import { scriptOutputBytesMax, scriptsMax } from '../limits.ts';

export interface ScriptRun {
  readonly runId: string;
  readonly name: string;
  readonly arguments: readonly string[];
  readonly timeoutSeconds: number;
}

export type ScriptState =
  | { readonly state: 'running' }
  | { readonly state: 'ended'; readonly output: string }
  | { readonly state: 'failed'; readonly error: LeewardError };

/** A program that was started says so within this time, however slow the machine. */
const beginMilliseconds = 10_000;

export class ScriptRuns {
  readonly #scriptsFolder: string;
  readonly #runsFolder: string;
  readonly #clock: Clock;
  readonly #startedAt = new Map<string, number>();

  constructor(parts: { readonly scriptsFolder: string; readonly runsFolder: string; readonly clock: Clock }) {
    this.#scriptsFolder = parts.scriptsFolder;
    this.#runsFolder = parts.runsFolder;
    this.#clock = parts.clock;
  }

  get isFull(): boolean {
    return this.#startedAt.size >= scriptsMax;
  }

  /** Starts what has not begun, and says how it stands. */
  async advance(run: ScriptRun): Promise<ScriptState> {
    const folder = join(this.#runsFolder, run.runId);
    const state = await lookAtOutliving(folder, scriptOutputBytesMax);
    if (state.state === 'not-begun') {
      const startedAt = this.#startedAt.get(run.runId);
      if (startedAt !== undefined && this.#clock.monotonic() - startedAt < beginMilliseconds)
        return { state: 'running' };
      const path = join(this.#scriptsFolder, run.name);
      if (!(await mayRun(path)))
        return { state: 'failed', error: errors.ScriptMissing(run.name, this.#scriptsFolder) };
      await startOutliving(folder, path, run.arguments, run.timeoutSeconds);
      this.#startedAt.set(run.runId, this.#clock.monotonic());
      return { state: 'running' };
    }
    if (state.state === 'running') {
      if (!this.#startedAt.has(run.runId)) this.#startedAt.set(run.runId, this.#clock.monotonic());
      return { state: 'running' };
    }
    if (state.state === 'interrupted') return { state: 'failed', error: errors.ScriptInterrupted(run.name) };
    if (state.isTimedOut)
      return {
        state: 'failed',
        error: errors.ScriptTimedOut(run.name, run.timeoutSeconds, state.output.trim().slice(-1000)),
      };
    if (state.exitCode !== 0)
      return {
        state: 'failed',
        error: errors.ScriptFailed(run.name, state.exitCode, state.output.trim().slice(-1000)),
      };
    return { state: 'ended', output: state.output };
  }

  /** Ended with all that it has started, or kept from beginning. */
  async stop(runId: string): Promise<void> {
    const folder = join(this.#runsFolder, runId);
    await refuseOutliving(folder);
    await stopOutliving(folder, this.#clock);
  }

  /** After its answer is durable. */
  async forget(runId: string): Promise<void> {
    this.#startedAt.delete(runId);
    await forgetOutliving(join(this.#runsFolder, runId));
  }
}
