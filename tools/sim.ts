/**
 * Runs simulated worlds. `make sim SEED=n` replays one with all that happened in it; without a seed, random ones are run
 * for some minutes until one fails.
 *
 *     node tools/sim.ts --seed 7                    replay, with the event log
 *     node tools/sim.ts --seed 7 --quiet            the verdict only
 *     node tools/sim.ts --seed 7 --until 12345      … up to the moment behind # in the log
 *     node tools/sim.ts --seed 7 --faults-max 9     … with the first nine faults only (an earlier failure is simpler)
 *     node tools/sim.ts --seed 7 --faults cut-link,kill-vault      … with these kinds of faults only
 *     node tools/sim.ts --seed 7 --without clock-jump              … without these
 *     node tools/sim.ts --seed 7 --shrink           looks for the fewest faults with which it still fails
 *     node tools/sim.ts --minutes 10                random seeds
 *
 * Leaves with 1 when a promise was broken.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type FaultName, faults } from '../test/simulation/faults.ts';
import { type Outcome, World, type WorldOptions } from '../test/simulation/world.ts';

const names = Object.keys(faults) as FaultName[];

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    until: { type: 'string' },
    steps: { type: 'string' },
    faults: { type: 'string' },
    without: { type: 'string' },
    'faults-max': { type: 'string' },
    defect: { type: 'string' },
    service: { type: 'string' },
    minutes: { type: 'string', default: '2' },
    quiet: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: false },
  },
});

function faultNames(text: string): FaultName[] {
  return text.split(',').map((name) => {
    if (!names.includes(name as FaultName))
      throw new Error(`there is no fault "${name}"; there are: ${names.join(', ')}`);
    return name as FaultName;
  });
}

function optionsFor(seed: string): WorldOptions {
  const until = values.until ?? values.steps;
  const without = values.without ? faultNames(values.without) : [];
  const chosen = values.faults ? faultNames(values.faults) : names;
  return {
    seed,
    ...(values.faults || values.without ? { faults: chosen.filter((name) => !without.includes(name)) } : {}),
    ...(until ? { untilMoment: Number(until) } : {}),
    ...(values['faults-max'] ? { faultsMax: Number(values['faults-max']) } : {}),
    ...(values.service === 'stand-in' ? { service: 'stand-in' as const } : {}),
    ...(values.defect ? { defect: values.defect as NonNullable<WorldOptions['defect']> } : {}),
  };
}

/** The first fault count with which the seed fails: by halves, as more faults mostly mean more failure. */
async function shrink(seed: string): Promise<void> {
  const options = optionsFor(seed);
  const whole = await new World(options).run();
  if (whole.failures.length === 0) {
    console.log(`seed ${seed} does not fail`);
    return;
  }
  let fails = whole.faultCount;
  let passes = -1;
  while (fails - passes > 1) {
    const middle = (fails + passes) >> 1;
    const outcome = await new World({ ...options, faultsMax: middle }).run();
    console.log(`${middle} faults: ${outcome.failures[0] ?? 'passes'}`);
    if (outcome.failures.length > 0) fails = middle;
    else passes = middle;
  }
  let needed = options.faults ?? names;
  for (const name of needed) {
    const rest = needed.filter((one) => one !== name);
    const outcome = await new World({ ...options, faultsMax: fails, faults: rest }).run();
    if (outcome.failures.length > 0 && rest.length > 0) needed = rest;
  }
  console.log(`node tools/sim.ts --seed ${seed} --faults-max ${fails} --faults ${needed.join(',')}`);
}

function verdict(outcome: Outcome): string {
  const { seed, simulatedSeconds, moments, faultCount, pointsJudged, digest } = outcome;
  const facts = `${simulatedSeconds} s, ${moments} moments, ${faultCount} faults, ${pointsJudged} recovery points`;
  if (outcome.failures.length === 0)
    return `seed ${seed}: kept every promise (${facts}; ${digest.slice(0, 12)})`;
  return [
    `seed ${seed}: FAILED (${facts}; ${digest.slice(0, 12)})`,
    ...outcome.failures.map((failure) => `  ${failure}`),
    `  replay: make sim SEED=${seed}`,
  ].join('\n');
}

if (values.seed !== undefined && values.shrink) await shrink(values.seed);
else if (values.seed !== undefined) {
  const print = values.quiet ? {} : { print: (line: string) => console.log(line) };
  const outcome = await new World({ ...optionsFor(values.seed), ...print }).run();
  console.log(verdict(outcome));
  if (outcome.failures.length > 0) process.exitCode = 1;
} else {
  const end = Date.now() + Number(values.minutes) * 60_000;
  let count = 0;
  while (Date.now() < end && process.exitCode === undefined) {
    const outcome = await new World(optionsFor(String(randomInt(2 ** 31)))).run();
    count++;
    console.log(verdict(outcome));
    if (outcome.failures.length > 0) process.exitCode = 1;
  }
  console.log(`${count} seeds`);
}
