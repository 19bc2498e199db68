/**
 * Goal: the whole byte path keeps its promises whatever breaks (docs/simulation.md). Seeds that found something are kept in
 * the list with what they found; a few random ones come along each time, and a failure says how to see it again.
 */
import { randomInt } from 'node:crypto';
import test from 'ava';
import { type Outcome, World } from './world.ts';

const fixedSeeds = Array.from({ length: 14 }, (_, index) => String(index + 1));
const randomSeeds = Array.from({ length: 2 }, () => String(randomInt(2 ** 31)));

function explain({ seed, failures, lastLines }: Outcome): string {
  return [...lastLines.slice(-30), ...failures, `replay: make sim SEED=${seed}`].join('\n');
}

for (const seed of fixedSeeds)
  test.serial(`seed ${seed}: every recovery point has the source's bytes, and the world heals`, async (t) => {
    const outcome = await new World({ seed }).run();
    t.deepEqual(outcome.failures, [], explain(outcome));
    t.true(outcome.pointsJudged > 0);
  });

test.serial('random seeds: every recovery point has the source’s bytes, and the world heals', async (t) => {
  for (const seed of randomSeeds) {
    t.log(`make sim SEED=${seed}`);
    const outcome = await new World({ seed }).run();
    t.deepEqual(outcome.failures, [], explain(outcome));
  }
});

test.serial('the same seed gives the same world, and another seed another one', async (t) => {
  const one = await new World({ seed: '3' }).run();
  const other = await new World({ seed: '3' }).run();
  t.is(one.digest, other.digest);
  t.is(one.moments, other.moments);
  t.not((await new World({ seed: '4' }).run()).digest, one.digest);
});
