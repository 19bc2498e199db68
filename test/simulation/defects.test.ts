/**
 * Goal: the simulation is able to fail. Each rule of the byte path is broken on purpose, one at a time, by a wrapper in
 * `composition.ts`; the oracle, which knows nothing of these rules, must find each within a few seeds, by the bytes
 * of a recovery point.
 */
import test from 'ava';
import { type Defect, defects } from './composition.ts';
import type { FaultName } from './faults.ts';
import { World } from './world.ts';

/** Faults that give a defect its chance; with all of them it takes more seeds. */
const temptations: Record<Defect, readonly FaultName[]> = {
  'ack-before-sync': ['power-process-server', 'cut-link'],
  'forget-unacknowledged': ['kill-process-server', 'cut-link'],
  'trust-after-crash': ['kill-mobility-service'],
  'accept-old-generation': ['cloned-machine', 'cut-link'],
  'cut-before-flush': ['power-vault', 'kill-vault'],
  'skip-zeroes': ['cut-link'],
  'maps-by-path': ['disk-swap'],
  'miss-disk-silently': ['disk-vanish'],
};
const seedsMax = 12;
/** Seeds before it have no luck, and such a world takes seconds. */
const firstSeed: Partial<Record<Defect, number>> = {
  'ack-before-sync': 3,
  'forget-unacknowledged': 4,
  'accept-old-generation': 5,
};

for (const defect of defects)
  test.serial(`the oracle finds the defect ${defect}`, async (t) => {
    const faults = temptations[defect];
    // Two services must get their data mixed into one part: the plain sender reconnects more often than the real one.
    const service = defect === 'accept-old-generation' ? 'stand-in' : 'real';
    const first = firstSeed[defect] ?? 1;
    for (let seed = first; seed < first + seedsMax; seed++) {
      const outcome = await new World({
        seed: `defect/${seed}`,
        defect,
        faults,
        service,
        healingMinutesMax: 10,
        // Mixed data need a clone, its end, and another session of the original.
        ...(service === 'real' ? { troubleSeconds: 150 } : {}),
      }).run();
      if (outcome.failures.length === 0) continue;
      // For the right reason: a world that merely stands still would pass for a defect that was found.
      t.regex(
        outcome.failures[0]!,
        /^recovery point \S+ of \S+ is no state that its disks|ReplicaBlockCorrupt/,
      );
      t.log(`seed ${seed}: ${outcome.failures[0]}`);
      return;
    }
    t.fail(`${defect} went unseen in ${seedsMax} seeds`);
  });
