// Goal: a service replicates only after its site's word, or when none is to be had, and hears every change of it once.
// Method: the word as reports bring it; a clock in the test's hand.
import test from 'ava';
import { Standing } from '../../../src/mobility-service/control/standing.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { LeewardError } from '../../../src/platform/errors.ts';

const error = (code: string) =>
  new LeewardError({ code, summary: code, possibleCauses: 'a test', recommendedAction: 'none' });
const never = new AbortController().signal;
/** Sleeps for ever, unless it is woken. */
const still: Clock = {
  ...systemClock,
  sleep: (_, signal) =>
    new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
};

function told() {
  const heard: string[] = [];
  const standing = new Standing({
    refusal: () => heard.push(standing.refusal?.code ?? 'let in'),
    known: () => heard.push('known'),
  });
  return { standing, heard };
}

test('it waits for the first word, whatever that is, and looks at it itself', async (t) => {
  for (const [failure, refusal] of [
    [undefined, undefined],
    [error('MachineCopied'), 'MachineCopied'],
    [error('MachineStillLive'), 'MachineStillLive'],
    [error('PeerUnreachable'), undefined],
  ] as const) {
    const { standing, heard } = told();
    let isSettled = false;
    const settled = standing.settled(still, 1, never).then(() => {
      isSettled = true;
    });
    await Promise.resolve();
    t.false(isSettled);
    standing.reported(failure);
    await settled;
    t.is(standing.refusal?.code, refusal);
    t.deepEqual(heard, failure === undefined ? ['known'] : [], 'nobody is woken who waits for it');
  }
});

test('without any word it goes on at its limit, and a refusal that comes later is heard', async (t) => {
  const { standing, heard } = told();
  await standing.settled({ ...systemClock, sleep: async () => {} }, 1, never);
  t.is(standing.refusal, undefined);
  t.false(standing.isKnown);
  standing.reported(error('MachineCopied'));
  standing.reported(error('PeerUnreachable'));
  standing.reported(error('MachineCopied'));
  t.is(standing.refusal?.code, 'MachineCopied', 'the last word stands while nobody answers');
  standing.reported(undefined);
  standing.reported(undefined);
  t.deepEqual(heard, ['MachineCopied', 'let in', 'known']);
});
