/**
 * Brings the applications to rest around a freeze: first the operator's pre script, which knows the application, then the
 * built-in hooks, which hold database locks and so should be held as briefly as possible; afterwards in reverse.
 *
 *     pre:  pre script ─▶ hook ─▶ hook          post:  hook ─▶ hook ─▶ post script
 *
 * Promise: whatever `pre` began, `post` ends, also when `pre` failed halfway; the post script runs whenever the pre
 * script was started, even when that failed, and neither runs unless both are trusted. Hooks that have nothing to do say why, once per change of reason.
 */
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { errors } from './errors.ts';
import type { Applications } from './helper-freezer.ts';
import type { Hook } from './hook.ts';
import { assertTrusted, runScript, type ScriptPhase, type ScriptResult } from './scripts.ts';

export interface ApplicationsOptions {
  readonly clock: Clock;
  readonly scripts?:
    | {
        readonly pre?: string | undefined;
        readonly post?: string | undefined;
        readonly timeoutSeconds: number;
      }
    | undefined;
  readonly hooks: readonly Hook[];
  /** Takes warnings about hooks that were left out. */
  readonly report: (warning: LeewardError) => void;
}

export function createApplications(options: ApplicationsOptions): Applications {
  /** Of the point that is being made: what `post` must end, in the order it was begun. */
  let begun: (() => Promise<void>)[] = [];
  const reported = new Map<string, string>();

  const script = async (phase: ScriptPhase): Promise<void> => {
    const path = options.scripts?.[phase];
    if (path === undefined) return;
    const fail = phase === 'pre' ? errors.PreScriptFailed : errors.PostScriptFailed;
    const seconds = options.scripts!.timeoutSeconds;
    let result: ScriptResult;
    try {
      result = await runScript(options.clock, path, phase, seconds * 1000);
    } catch (cause) {
      throw fail(
        `the ${phase} script ${path}`,
        'was not run',
        cause instanceof LeewardError ? cause.summary : '',
        cause,
      );
    }
    if (result.timedOut)
      throw fail(`the ${phase} script ${path}`, `was ended after ${seconds} s`, result.outputTail);
    if (result.exitCode !== 0)
      throw fail(
        `the ${phase} script ${path}`,
        result.exitCode === undefined ? 'was killed' : `ended with ${result.exitCode}`,
        result.outputTail,
      );
  };

  /** Before anything runs: an application that the pre script stopped must not stay so because of the post script's mode. */
  const bothTrusted = async (): Promise<void> => {
    for (const phase of ['pre', 'post'] as const) {
      const path = options.scripts?.[phase];
      if (path === undefined) continue;
      try {
        await assertTrusted(path);
      } catch (cause) {
        const detail = cause instanceof LeewardError ? cause.summary : '';
        throw errors.PreScriptFailed(`the ${phase} script ${path}`, 'may not be run', detail, cause);
      }
    }
  };

  return {
    pre: async () => {
      // What an earlier point left because its `post` was never called must not be held twice.
      await finish(begun.splice(0).reverse()).catch(() => {});
      await bothTrusted();
      begun.push(() => script('post'));
      await script('pre');
      for (const hook of options.hooks) {
        begun.push(() => hook.post());
        let skipped: string | undefined;
        try {
          skipped = (await hook.pre()).skipped;
        } catch (cause) {
          if (cause instanceof LeewardError) throw cause;
          throw errors.PreScriptFailed(hook.name, 'did not come to rest', '', cause);
        }
        if (skipped === undefined) reported.delete(hook.name);
        else if (reported.get(hook.name) !== skipped) {
          reported.set(hook.name, skipped);
          options.report(errors.HookSkipped(hook.name, skipped));
        }
      }
    },
    post: async () => {
      const ends = begun.reverse();
      begun = [];
      await finish(ends);
    },
  };
}

/** Calls all of them, whatever some of them throw; then throws the first error. */
async function finish(ends: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends)
    try {
      await end();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}
