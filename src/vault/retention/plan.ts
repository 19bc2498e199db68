/**
 * Which recovery points stay. Pure: points, rules and the moment go in, the points to unlink come out; the reconciler
 * beside it acts on the answer.
 *
 * A rule keeps one point in each window of `everySeconds`, for points up to the age of `untilSeconds`; rules go from young
 * to old and a point is judged by the first rule whose age it has not passed. Windows lie on the epoch, not on the
 * moment of thinning, so that thinning again later never throws away what it kept before while the same rule applies.
 * In a window a point that has every disk is kept rather than one that lacks some; of those alike the newest
 * application-consistent one, or the newest when there is none.
 *
 *     age   0 ────── 2 h ─────────── 24 h ────────────── 7 d ───────────── 15 d ───▶
 *           every    one an hour     one every 2 h       one every 4 h     none
 *           point
 *
 * Never dropped: the newest point, the newest that has every disk, the newest application-consistent one of these, and those that
 * are locked. However long a disk is missing, the last point that had it stays. Newest is what was taken last; ages follow the dates, which a machine whose clock was stepped gets wrong.
 */
import { comparePlaces, isComplete, type RecoveryPoint, type RetentionPolicy } from '../store/vault-store.ts';

const hour = 3600;
const day = 24 * hour;

/**
 * The reference system's thinning for 15 days. Points it holds at the most, with one every 5 minutes: 2 h × 12 = 24, then
 * 22 hourly, 6 days × 12 = 72, 8 days × 6 = 48: 166 at the edges of windows.
 */
export const defaultRetention: RetentionPolicy = {
  rules: [
    { untilSeconds: 2 * hour, everySeconds: 0 },
    { untilSeconds: day, everySeconds: hour },
    { untilSeconds: 7 * day, everySeconds: 2 * hour },
    { untilSeconds: 15 * day, everySeconds: 4 * hour },
  ],
};

export type ThinnablePoint = Pick<
  RecoveryPoint,
  'pointId' | 'type' | 'takenAt' | 'chain' | 'sequence' | 'lockedUntil' | 'missingDisks'
>;

/**
 * The points that may go now, oldest first.
 * @param points in any order
 * @param now milliseconds since the epoch
 */
export function planRetention<P extends ThinnablePoint>(
  points: readonly P[],
  policy: RetentionPolicy,
  now: number,
): P[] {
  const newestFirst = [...points].sort((a, b) => comparePlaces(b, a));
  const rules = [...policy.rules].sort((a, b) => a.untilSeconds - b.untilSeconds);
  const kept = new Set<P>();
  const winners = new Map<string, P>();
  for (const point of newestFirst) {
    const takenAt = Date.parse(point.takenAt);
    if (point.lockedUntil !== undefined && Date.parse(point.lockedUntil) > now) kept.add(point);
    const ruleIndex = rules.findIndex((rule) => now - takenAt <= rule.untilSeconds * 1000);
    const rule = rules[ruleIndex];
    if (!rule) continue;
    if (rule.everySeconds === 0) {
      kept.add(point);
      continue;
    }
    const window = `${ruleIndex}:${Math.floor(takenAt / (rule.everySeconds * 1000))}`;
    const winner = winners.get(window);
    if (winner === undefined || worth(point) > worth(winner)) winners.set(window, point);
  }
  for (const point of winners.values()) kept.add(point);
  const newest = newestFirst[0];
  if (newest) kept.add(newest);
  const newestComplete = newestFirst.find(isComplete);
  if (newestComplete) kept.add(newestComplete);
  const newestApplicationConsistent =
    newestFirst.find((point) => point.type === 'ApplicationConsistent' && isComplete(point)) ??
    newestFirst.find(({ type }) => type === 'ApplicationConsistent');
  if (newestApplicationConsistent) kept.add(newestApplicationConsistent);
  return newestFirst.filter((point) => !kept.has(point)).reverse();
}

/** Of two points of one window the one worth more is kept. */
const worth = (point: ThinnablePoint): number =>
  (isComplete(point) ? 2 : 0) + (point.type === 'ApplicationConsistent' ? 1 : 0);
