/**
 * Goal: what the benchmarks found is told as it was. Method: rows made by hand; the figures themselves are never tested.
 */
import test from 'ava';
import { type Row, renderTable, resultOf } from '../../bench/report.ts';

const copy: Row = {
  work: 'copy',
  unit: 'MB/s',
  higherIsBetter: true,
  ours: 300,
  peers: { cp: 1000, restic: 100, borg: 150 },
  fair: ['restic', 'borg'],
  verified: true,
};

test('the ratio is against the best fair peer, whichever way is better', (t) => {
  t.is(resultOf(copy).ratio, 2);
  const restore: Row = { ...copy, higherIsBetter: false, ours: 0.5, peers: { restic: 20, borg: 10 } };
  t.is(resultOf(restore).ratio, 20);
  t.is(resultOf({ ...copy, fair: [] }).ratio, null);
});

test('a row that failed is shown with its error and is not verified', (t) => {
  const failed = resultOf({ ...copy, ours: undefined, error: 'the disk was full' });
  t.false(failed.verified);
  t.is(failed.ours, null);
  const table = renderTable([resultOf(copy), failed]);
  t.regex(table, /copy +MB\/s +300 +2x +yes +cp 1000, borg 150, restic 100/);
  t.regex(table, /copy: FAILED: the disk was full/);
});

test('a row that is below what is wanted says so, and where the time goes', (t) => {
  const row: Row = { ...copy, ratioWanted: 3, where: 'vault 2.0 CPU s', note: 'on two cores' };
  t.is(resultOf(row).note, 'on two cores; MISSED, 3x wanted; where the time goes: vault 2.0 CPU s');
  t.is(resultOf({ ...row, ratioWanted: 2 }).note, 'on two cores');
});
