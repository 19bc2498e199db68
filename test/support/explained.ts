/** Bad input ends in one sentence, a cause and an action that a person can use: asserted here the same way everywhere. */
import type { ExecutionContext } from 'ava';
import { LeewardError, renderError } from '../../src/platform/errors.ts';

export interface Explained {
  readonly code: string;
  /** Of the summary: it names what is wrong, and where. */
  readonly says: RegExp;
  readonly cause: RegExp;
  readonly action: RegExp;
}

/** `work` rejects with this operating error, and what a person is shown has all three sentences. */
export async function throwsExplained(
  t: ExecutionContext<unknown>,
  work: Promise<unknown> | (() => Promise<unknown>),
  expected: Explained,
): Promise<void> {
  isExplained(t, await t.throwsAsync(work as Promise<unknown>, undefined, expected.code), expected);
}

export function isExplained(t: ExecutionContext<unknown>, error: unknown, expected: Explained): void {
  if (!(error instanceof LeewardError)) {
    t.fail(`${expected.code} was expected, not ${error}`);
    return;
  }
  t.is(error.code, expected.code, error.summary);
  t.regex(error.summary, expected.says);
  t.regex(error.possibleCauses, expected.cause);
  t.regex(error.recommendedAction, expected.action);
  const shown = renderError(error);
  for (const part of [error.code, error.summary, error.possibleCauses, error.recommendedAction])
    t.true(shown.includes(part));
}
