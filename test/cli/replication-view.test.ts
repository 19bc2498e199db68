/**
 * Goal: what a person reads while a machine is replicated for the first time is true: sums over disks, what is left, and no
 * step back when a disk is done and the vault has no figures of it any more.
 * Method: details as the vault answers them, one look after the other.
 */
import test from 'ava';
import { Comparisons, progressOf, type ReplicationDetails } from '../../src/cli/replication-view.ts';
import { ProtectedDiskId } from '../../src/model/ids.ts';
import type { ResyncProgress } from '../../src/model/progress.ts';

const gibibyte = 2 ** 30;
const system = ProtectedDiskId.parse('10000000-0000-4000-8000-000000000001');
const data = ProtectedDiskId.parse('10000000-0000-4000-8000-000000000002');

const walk = (
  diskId: ProtectedDiskId,
  doneGibibytes: number,
  sentGibibytes: number,
  etaSeconds?: number,
): ResyncProgress => ({
  diskId,
  kind: 'initial',
  cause: 'InitialReplication',
  doneBytes: doneGibibytes * gibibyte,
  sentBytes: sentGibibytes * gibibyte,
  totalBytes: 4 * gibibyte,
  startedAt: '2026-11-21T12:00:00.000Z',
  ...(etaSeconds === undefined ? {} : { etaSeconds }),
});

const details = (progress: ResyncProgress[]): ReplicationDetails => ({
  disks: [system, data].map((diskId) => ({
    diskId,
    path: '/dev/vda',
    sizeBytes: 4 * gibibyte,
    state: 'initial',
  })),
  progress,
  recoveryPointCount: 0,
});

test('before a comparison begins there are no figures, and the state is said', (t) => {
  t.is(new Comparisons().update(details([])), undefined);
  t.is(progressOf('web', details([]), undefined)[1], undefined);
});

test('bytes are summed over disks, and the time to go is the longest', (t) => {
  const said = details([walk(system, 1, 0.5, 30), walk(data, 2, 1, 10)]);
  const figures = new Comparisons().update(said)!;
  t.deepEqual(figures, {
    totalBytes: 8 * gibibyte,
    doneBytes: 3 * gibibyte,
    sentBytes: 1.5 * gibibyte,
    etaSeconds: 30,
  });
  const [, fraction, detail] = progressOf('web', said, figures);
  t.is(fraction, 0.375);
  t.is(detail, '1.5 GiB sent, about 30 s to go');
});

test('a disk that is done still counts, with what was said of it last', (t) => {
  const comparisons = new Comparisons();
  comparisons.update(details([walk(system, 1, 0.5, 30), walk(data, 3, 1, 10)]));
  t.deepEqual(comparisons.update(details([walk(system, 2, 1, 20)])), {
    totalBytes: 8 * gibibyte,
    doneBytes: 6 * gibibyte,
    sentBytes: 2 * gibibyte,
    etaSeconds: 20,
  });
  const end = comparisons.update(details([]))!;
  t.is(end.doneBytes, end.totalBytes);
  t.is(end.sentBytes, 2 * gibibyte);
  t.regex(progressOf('web', details([]), end)[0], /waiting for the recovery point/);
});
