/**
 * Scripts of recovery plans that run on the vault: programs in one folder, by name. Whoever may write there may run what
 * they like as the vault's user, so the folder is the vault's own and nothing of the API writes to it.
 *
 *     <data>/scripts/NAME        arguments: failover type, plan, group        environment: LEEWARD_JOB_ID, LEEWARD_PLAN, …
 *     <data>/script-runs/ID/     of each run: who runs it, what it wrote, how it ended (`platform/outliving.ts`)
 *
 * A run outlives the vault: when that is killed or stops, its successor finds the script still running, or its result, and
 * does not run it a second time. Only when the machine itself goes down under it, it runs again. A job that is cancelled ends
 * its script with all that it has started.
 */
import { join } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import { hasCode } from '../../platform/errors.ts';
import { mayRun } from '../../platform/may-run.ts';
import {
  forgetEnded,
  forgetOutliving,
  lookAtOutliving,
  startOutliving,
  stopOutliving,
} from '../../platform/outliving.ts';
import { errors } from './errors.ts';

export interface ScriptRun {
  /** The same however often the step is done. */
  readonly runId: string;
  readonly name: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export type RunScript = (script: ScriptRun) => Promise<{ readonly output: string }>;

/** What a job keeps of a script's output: a screen or three. */
const outputBytesMax = 16_384;
const nameShape = /^[A-Za-z0-9._-]{1,100}$/;
const lookMilliseconds = 100;
/** A program that was started says so within this time, however slow the machine; then it is started again. */
const beginMilliseconds = 10_000;
/** Results are kept beyond the moment at which the job has noted them: a crash in between would run the script again. */
const keptMilliseconds = 24 * 3600_000;

/** Throws `ScriptUnknown`, `ScriptTimedOut` and `ScriptFailed`, the latter two with the end of the output. */
export function scriptsIn(parts: {
  readonly folder: string;
  readonly runsFolder: string;
  readonly clock: Clock;
}): RunScript {
  const { folder, runsFolder, clock } = parts;
  return async ({ runId, name, arguments: given, environment, timeoutSeconds, signal }) => {
    signal.throwIfAborted();
    const path = join(folder, name);
    if (!nameShape.test(name) || /^\.+$/.test(name)) throw errors.ScriptUnknown(name, folder);
    const run = join(runsFolder, runId);
    let startedAt: number | undefined;
    for (;;) {
      const state = await lookAtOutliving(run, outputBytesMax);
      if (state.state === 'ended') {
        const output = state.output.trimEnd();
        if (state.isTimedOut) throw errors.ScriptTimedOut(name, timeoutSeconds, output.slice(-1000));
        if (state.exitCode !== 0) throw errors.ScriptFailed(name, state.exitCode, output.slice(-1000));
        return { output };
      }
      if (state.state === 'interrupted') await forgetOutliving(run);
      if (state.state === 'interrupted' || state.state === 'not-begun') {
        const now = clock.monotonic();
        if (startedAt === undefined || now - startedAt > beginMilliseconds) {
          if (!(await mayRun(path))) throw errors.ScriptUnknown(name, folder);
          await forgetEnded(runsFolder, clock.now() - keptMilliseconds);
          await startOutliving(run, path, given, timeoutSeconds, { cwd: folder, env: environment });
          startedAt = now;
        }
      }
      try {
        await clock.sleep(lookMilliseconds, signal);
      } catch (error) {
        // Who merely stops leaves it to the next one; who was cancelled wants it to end.
        if (!hasCode(signal.reason, 'EngineStopping', 'JobLeaseLost')) await stopOutliving(run, clock);
        throw error;
      }
    }
  };
}
