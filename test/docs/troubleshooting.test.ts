/** Goal: the page that people are sent to has every refusal of bad input, under its real code and in its real words. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { diskErrors } from '../../src/disk/errors.ts';
import { captureErrors } from '../../src/mobility-service/capture/errors.ts';
import { errors as mobilityErrors } from '../../src/mobility-service/errors.ts';
import { renderError } from '../../src/platform/errors.ts';
import { processServerErrors } from '../../src/process-server/errors.ts';
import { nounErrors } from '../../src/vault/api/noun-errors.ts';
import { errors as vaultErrors } from '../../src/vault/errors.ts';
import { errors as workflowErrors } from '../../src/vault/workflows/errors.ts';

const page = readFileSync(new URL('../../docs/operations/troubleshooting.md', import.meta.url), 'utf8');

const refusals = [
  captureErrors.DiskNotFound('/dev/sdx'),
  captureErrors.NotABlockDevice('/data'),
  captureErrors.NotAWholeDisk('/dev/vg/root', 'a logical volume', ['/dev/sda']),
  captureErrors.DiskAlreadyProtected('/dev/sda', 'sda'),
  captureErrors.MultipathDevice('/dev/dm-0', ['/dev/sda', '/dev/sdb']),
  captureErrors.NvmeMultipathHead('/dev/nvme0n1', 'nvme0c0n1'),
  captureErrors.BackedByOwnDisk('/dev/loop0', '/vm/disk.img', ['/dev/sda']),
  captureErrors.BackedByProtectedDisk('/dev/loop0', '/vm/disk.img', '/dev/sda'),
  captureErrors.MappedMemoryDevice('/fast'),
  captureErrors.NoRequestEvents('/dev/zram0'),
  captureErrors.TracefsMissing('/sys/kernel/tracing'),
  captureErrors.BlockEventsMissing('/sys/kernel/tracing/events/block'),
  captureErrors.KernelLockedDown(),
  mobilityErrors.DiskResized('/dev/sda', 16777216, '/dev/sda had 16777216 bytes and has 25165824'),
  processServerErrors.WrongCertificate('1', 'other'),
  processServerErrors.UnknownItem('1'),
  processServerErrors.DisksDoNotMatch('1', '2 is missing'),
  processServerErrors.FailedOver('1', '2026-01-01T00:00:00.000Z'),
  mobilityErrors.MarkerNotOwn('/dev/vdb', 'its signature is not that of this machine’s vault'),
  mobilityErrors.MachineCopied('/var/lib/leeward', undefined),
  diskErrors.DiskInUse('/dev/sdb', ['/mnt/data']),
  vaultErrors.ItemAlreadyProtected('the machine web', 'web'),
  vaultErrors.ReplicaFolderCannotClone('/replica', 'ext4'),
  vaultErrors.CacheObjectCorrupt('key'),
  vaultErrors.CacheObjectMissing('key'),
  nounErrors.TooManyDisks('web', 65, 64, false),
  workflowErrors.RecoveryHostTooSmall('web', ['memory: 24576 MiB needed, 15997 MiB available']),
  workflowErrors.LastPointIncomplete('web', ['/dev/sdb (gone)']),
  workflowErrors.NoCompleteRecoveryPoint('web', '2026-06-01T00:00:00.000Z', ['/dev/sdb (gone)']),
];

/** The first words that do not depend on what it is about. */
const words = (text: string) => text.replaceAll('`', '').split(/\s+/);

for (const error of refusals)
  test(`${error.code} is explained where people look, in the words that they see`, (t) => {
    const row = page.split('\n').find((line) => line.includes(`\`${error.code}\``));
    if (row === undefined) return t.fail(`${error.code} is not on the page`);
    const shown = row.split('|')[3]!.trim().replaceAll('`', '');
    // What the page leaves out stands as …
    const parts = shown
      .split('…')
      .map((part) => part.trim())
      .filter((part) => part !== '');
    const said = words(error.summary).join(' ');
    for (const part of parts) t.true(said.includes(part), `“${part}” is not in “${said}”`);
    const rendered = renderError(error);
    t.regex(rendered, /possible causes: \S+/);
    t.regex(rendered, /what to do: \S+/);
  });
