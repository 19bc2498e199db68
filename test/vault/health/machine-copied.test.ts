// Goal: a copy of a machine is a condition that names it, the same as long as the same copies are there.
import test from 'ava';
import { HealthCondition, planChanges } from '../../../src/vault/health/conditions.ts';
import { machineCopied } from '../../../src/vault/health/machine-copied.ts';

const copy = (index: number) => ({
  name: `clone-${index}`,
  addresses: [`192.0.2.${index}`, 'fe80::1'],
  firstSeenAt: `2026-11-30T0${index}:00:00.000Z`,
});

test('it says host name, addresses and when, for three, and how many more there are', (t) => {
  t.deepEqual(machineCopied('web', []), []);
  const [one] = machineCopied('web', [copy(1)]);
  t.deepEqual(HealthCondition.parse(one), one);
  t.like(one, { code: 'MachineCopied', category: 'Replication', severity: 'Warning', sustainSeconds: 0 });
  t.regex(one!.summary, /a copy of web .* clone-1 \(192\.0\.2\.1, fe80::1\), first seen at 2026-11-30T01:00/);
  t.regex(one!.recommendedAction, /leeward-mobility-service enrol/);
  t.like(one!.context, { hostName: 'clone-1', address: '192.0.2.1' });
  const [five] = machineCopied('web', [1, 2, 3, 4, 5].map(copy));
  t.regex(five!.summary, /clone-3 .*, and 2 more$/);
  t.true(
    HealthCondition.safeParse(machineCopied('n'.repeat(253), [{ ...copy(1), name: 'x'.repeat(5000) }])[0])
      .success,
  );
});

test('while the same copy is there nothing is news; when it is gone the condition is over', (t) => {
  const holds = machineCopied('web', [copy(1)]);
  const kept = [{ condition: holds[0]!, seenAt: 0, raisedAt: 0 }];
  const again = planChanges(kept, machineCopied('web', [copy(1)]), 30_000);
  t.deepEqual([again.begin, again.raise, again.refresh, again.clear], [[], [], [], []]);
  t.is(planChanges(kept, machineCopied('web', []), 30_000).clear.length, 1);
});
