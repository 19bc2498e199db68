/**
 * Goal: whoever lists recovery points sees which of them lack a disk, by the name that people know it by.
 * Method: rows as the vault answers them.
 */
import test from 'ava';
import { lacksText } from '../../src/cli/nouns/protected-item.ts';

test('a recovery point names the disks that it lacks, with why', (t) => {
  const row = (missingDisks?: unknown) => ({ name: 'p', properties: { missingDisks } });
  t.is(lacksText(row()), '-');
  t.is(
    lacksText(
      row([
        { diskId: 'd1', path: '/dev/sdb', cause: 'gone' },
        { diskId: 'd2', path: '', cause: 'unreadable' },
      ]),
    ),
    '/dev/sdb (gone), d2 (unreadable)',
  );
});
