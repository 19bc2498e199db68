/**
 * Goal: thinning keeps what the policy promises, whenever and however often it runs.
 * Method: properties over random sets of points, and the reference system's figures for two weeks of points.
 */
import test from 'ava';
import fc from 'fast-check';
import { RecoveryPointId } from '../../../src/model/ids.ts';
import { defaultRetention, planRetention, type ThinnablePoint } from '../../../src/vault/retention/plan.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const idOf = (index: number) =>
  RecoveryPointId.parse(`00000000-0000-4000-8000-${String(index).padStart(12, '0')}`);

const pointAt = (
  index: number,
  ageMilliseconds: number,
  type: ThinnablePoint['type'] = 'CrashConsistent',
  lockedUntil?: string,
): ThinnablePoint => ({
  pointId: idOf(index),
  type,
  takenAt: new Date(now - ageMilliseconds).toISOString(),
  // Of points of one date the first that was given is the latest.
  ...{ chain: 1, sequence: (now - ageMilliseconds) * 1000 - index },
  ...(lockedUntil === undefined ? {} : { lockedUntil }),
});

const anyPoints = fc
  .array(
    fc.record({
      age: fc.integer({ min: 0, max: 20 * day }),
      isApplicationConsistent: fc.boolean(),
      lock: fc.option(fc.integer({ min: -day, max: day }), { nil: undefined, freq: 8 }),
    }),
    { maxLength: 200 },
  )
  .map((list) =>
    list.map(({ age, isApplicationConsistent, lock }, index) =>
      pointAt(
        index,
        age,
        isApplicationConsistent ? 'ApplicationConsistent' : 'CrashConsistent',
        lock === undefined ? undefined : new Date(now + lock).toISOString(),
      ),
    ),
  );

const survivors = (points: readonly ThinnablePoint[], at = now) => {
  const gone = new Set(planRetention(points, defaultRetention, at));
  return points.filter((point) => !gone.has(point));
};

test('fifteen days of five-minute points thin to the reference figures', (t) => {
  // As it happens in life: a point every five minutes, thinning after each.
  let points: ThinnablePoint[] = [];
  for (let index = 0, at = now - 16 * day; at <= now; at += 5 * minute, index++) {
    points.push(pointAt(index, now - at));
    points = survivors(points, at);
  }
  const aged = (from: number, to: number) =>
    points.filter((point) => {
      const age = now - Date.parse(point.takenAt);
      return age > from && age <= to;
    }).length;
  t.is(aged(-1, 2 * hour), 25);
  t.true(Math.abs(aged(2 * hour, day) - 22) <= 1);
  t.true(Math.abs(aged(day, 7 * day) - 72) <= 1);
  t.true(Math.abs(aged(7 * day, 15 * day) - 48) <= 1);
  t.is(aged(15 * day, 100 * day), 0);
});

test('the newest point, the newest application-consistent one and locked ones always stay', (t) => {
  fc.assert(
    fc.property(anyPoints, (points) => {
      const kept = new Set(survivors(points));
      const byAge = [...points].sort((a, b) => Date.parse(b.takenAt) - Date.parse(a.takenAt));
      const newest = byAge[0];
      if (newest) t.true([...kept].some((point) => point.takenAt === newest.takenAt));
      const application = byAge.find(({ type }) => type === 'ApplicationConsistent');
      if (application)
        t.true(
          [...kept].some((p) => p.type === 'ApplicationConsistent' && p.takenAt === application.takenAt),
        );
      for (const point of points)
        if (point.lockedUntil !== undefined && Date.parse(point.lockedUntil) > now) t.true(kept.has(point));
    }),
  );
  t.pass();
});

test('the point that was taken last stays, whatever its date', (t) => {
  const placed = (index: number, age: number, chain: number, sequence: number) => ({
    ...pointAt(index, age, 'ApplicationConsistent'),
    ...{ chain, sequence },
  });
  // A clock that was set back by years; a chain that began anew after that.
  const points = [placed(0, -hour, 1, 7), placed(1, 800 * day, 1, 8), placed(2, 900 * day, 2, 1)];
  const names = survivors(points).map(({ pointId }) => pointId);
  t.deepEqual(names, [idOf(0), idOf(2)]);
});

test('the newest point that has every disk stays while only lesser ones are newer, and wins its window', (t) => {
  const lacking = (index: number, age: number, type?: 'CrashConsistent' | 'ApplicationConsistent') => ({
    ...pointAt(index, age, type),
    missingDisks: [{ diskId: idOf(0) as never, cause: 'gone' as const }],
  });
  // A disk has been missing for longer than anything is kept.
  const names = (points: ThinnablePoint[]) => survivors(points).map(({ pointId }) => pointId);
  t.deepEqual(
    names([
      pointAt(0, 90 * day, 'ApplicationConsistent'),
      pointAt(1, 80 * day),
      lacking(2, 70 * day, 'ApplicationConsistent'),
      lacking(3, 60 * day),
      lacking(4, 50 * day),
    ]),
    [idOf(0), idOf(1), idOf(4)],
  );
  // In one window of an hour, a lesser point is newer, and even application-consistent.
  const base = 10 * hour;
  t.deepEqual(
    names([
      pointAt(0, base + 30 * minute),
      lacking(1, base + 20 * minute, 'ApplicationConsistent'),
      pointAt(2, minute, 'ApplicationConsistent'),
    ]),
    [idOf(0), idOf(2)],
  );
});

test('thinning what is already thinned drops nothing, and everything young stays', (t) => {
  fc.assert(
    fc.property(anyPoints, (points) => {
      const once = survivors(points);
      t.deepEqual(planRetention(once, defaultRetention, now), []);
      for (const point of points)
        if (now - Date.parse(point.takenAt) <= 2 * hour) t.true(once.includes(point));
    }),
  );
  t.pass();
});

test('an hour that had an application-consistent point keeps one', (t) => {
  const base = 10 * hour;
  const points = [
    pointAt(0, base),
    pointAt(1, base + 5 * minute, 'ApplicationConsistent'),
    pointAt(2, base + 10 * minute),
    pointAt(3, 0),
    pointAt(4, minute, 'ApplicationConsistent'),
  ];
  t.true(survivors(points).some(({ pointId }) => pointId === idOf(1)));
  t.false(survivors(points).some(({ pointId }) => pointId === idOf(2)));
});

test('a rule without an upper neighbour keeps dailies for a year', (t) => {
  const policy = { rules: [...defaultRetention.rules, { untilSeconds: 365 * 86_400, everySeconds: 86_400 }] };
  const points = Array.from({ length: 400 * 4 }, (_, index) => pointAt(index, index * 6 * hour));
  const gone = new Set(planRetention(points, policy, now));
  const old = points.filter((point) => !gone.has(point) && now - Date.parse(point.takenAt) > 15 * day);
  t.true(Math.abs(old.length - 350) <= 1);
});
