/**
 * Goal: what a job does next follows from its log, for every log that can come about.
 * Method: a random workflow is walked with random outcomes, cancellations and resumptions; the walk keeps its own account of
 * what happened, and the rules are checked against that at each turn.
 */
import test from 'ava';
import fc from 'fast-check';
import type { LogEntry } from '../../../src/vault/jobs/job-store.ts';
import { replay } from '../../../src/vault/jobs/replay.ts';

const at = '2030-01-01T00:00:00.000Z';
const error = {
  code: 'X',
  severity: 'error' as const,
  summary: 'x',
  possibleCauses: 'x',
  recommendedAction: 'x',
  raisedAt: at,
  context: {},
};

const shapes = fc.array(
  fc.record({
    undo: fc.boolean(),
    onFailure: fc.constantFrom('unwind' as const, 'suspend' as const),
    isPivot: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  }),
  { minLength: 1, maxLength: 6 },
);
/** What happens at each turn: the step's outcome, and whether somebody cancels before it. */
const turns = fc.array(
  fc.record({ fails: fc.boolean(), cancels: fc.integer({ min: 0, max: 7 }).map((n) => n === 0) }),
  { minLength: 60, maxLength: 60 },
);

test('steps are done in order, undone in reverse, never twice, and never past the point of no return', (t) => {
  fc.assert(
    fc.property(shapes, turns, (shape, chances) => {
      const steps = shape.map(({ undo, onFailure, isPivot }, index) => ({
        name: `s${index}`,
        onFailure,
        ...(isPivot ? { isPivot: true as const } : {}),
        ...(undo ? { undo: () => {} } : {}),
      }));
      const log: LogEntry[] = [];
      const effects: string[] = [];
      let isCancelled = false;
      for (const chance of chances) {
        const { next, isPast } = replay(steps, log);
        if (next.next === 'end') {
          const undone = effects.filter((effect) => effect.startsWith('-'));
          if (next.state === 'Succeeded') {
            t.deepEqual(
              effects.filter((effect) => effect.endsWith('!')),
              steps.map(({ name }) => `${name}!`),
            );
            t.deepEqual(undone, []);
          } else {
            const begun = [
              ...new Set(effects.filter((e) => !e.startsWith('-')).map((e) => e.replace('!', ''))),
            ];
            const undoable = begun.filter(
              (name) => steps.find((step) => step.name === name)?.undo !== undefined,
            );
            t.deepEqual(
              undone,
              undoable.toReversed().map((name) => `-${name}`),
            );
            t.false(isPast);
          }
          if (next.state === 'Cancelled') t.true(isCancelled);
          return;
        }
        // As the engine does it: a cancellation is only taken while it may be.
        if (chance.cancels && !isPast && (next.next === 'do' || next.next === 'stand')) {
          isCancelled = true;
          log.push({ entry: 'CancelRequested', at, by: 'x' });
          continue;
        }
        const step = next.step.name;
        switch (next.next) {
          case 'stand':
            log.push({ entry: 'Resumed', at, step, comments: '', by: 'x' });
            break;
          case 'undo':
            if (!next.begun) log.push({ entry: 'UndoStarted', at, step });
            if (chance.fails) log.push({ entry: 'UndoFailed', at, step, error });
            else {
              effects.push(`-${step}`);
              log.push({ entry: 'UndoFinished', at, step });
            }
            break;
          case 'do':
            if (!next.begun) log.push({ entry: 'Started', at, step });
            effects.push(step);
            if (chance.fails) log.push({ entry: 'Failed', at, step, error });
            else {
              effects.push(`${step}!`);
              log.push({ entry: 'Succeeded', at, step, output: step });
            }
            break;
        }
        // A replay in the middle, by whoever took the job over, says the same.
        t.deepEqual(replay(steps, structuredClone(log)), replay(steps, log));
      }
    }),
    { numRuns: 300 },
  );
});

test('a cancellation that comes while the point of no return is passed comes too late', (t) => {
  const steps = [{ name: 'a', undo: () => {} }, { name: 'b', isPivot: true as const }, { name: 'c' }];
  const { next, isPast } = replay(steps, [
    { entry: 'Started', at, step: 'a' },
    { entry: 'Succeeded', at, step: 'a' },
    { entry: 'Started', at, step: 'b' },
    { entry: 'CancelRequested', at, by: 'x' },
    { entry: 'Succeeded', at, step: 'b' },
  ]);
  t.true(isPast);
  t.is(next.next === 'do' ? next.step.name : next.next, 'c');
});
