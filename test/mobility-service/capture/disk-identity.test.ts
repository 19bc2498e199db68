/** Which disk is which: the judgement and the placing as tables, and the ids as real programs write them. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import {
  attachmentNow,
  type FoundDisk,
  fileSystemId,
  identityBytes,
  placeDisks,
  tableId,
} from '../../../src/mobility-service/capture/disk-identity.ts';
import { type DiskFacts, identityText, judgeDisk, parseIdentity } from '../../../src/model/disk-identity.ts';
import { run } from '../../../src/platform/exec.ts';
import { canLoop, makeLoop } from '../../support/loop-device.ts';

const test = anyTest;
const base: DiskFacts = { bootId: 'one', sizeBytes: 64 << 20 };
const facts = (more: Partial<DiskFacts>): DiskFacts => ({ ...base, ...more });

const judgements: [string, Partial<DiskFacts>, Partial<DiskFacts>, ReturnType<typeof judgeDisk>][] = [
  ['attached all the time', { attachment: 'seq:4' }, { attachment: 'seq:4' }, 'unbroken'],
  [
    'attached all the time and repartitioned by its owner',
    { attachment: 'seq:4', wwid: 'a', table: 'gpt:1' },
    { attachment: 'seq:4', wwid: 'a', table: 'gpt:2' },
    'unbroken',
  ],
  ['grown', { attachment: 'seq:4' }, { attachment: 'seq:4', sizeBytes: 65 << 20 }, 'unbroken'],
  ['blank, and attached anew', { attachment: 'seq:4' }, { attachment: 'seq:5' }, 'unknown'],
  [
    'the same number in another boot',
    { attachment: 'seq:4' },
    { attachment: 'seq:4', bootId: 'two' },
    'unknown',
  ],
  [
    'detached and attached again',
    { attachment: 'seq:4', wwid: 'a' },
    { attachment: 'seq:5', wwid: 'a' },
    'same',
  ],
  [
    'after a boot',
    { wwid: 'a', attachment: 'seq:4' },
    { wwid: 'a', bootId: 'two', attachment: 'seq:9' },
    'same',
  ],
  [
    'a copy of its content on another device',
    { wwid: 'a', table: 'gpt:1', fileSystem: 'ext:1' },
    { wwid: 'b', table: 'gpt:1', fileSystem: 'ext:1', bootId: 'two' },
    'different',
  ],
  [
    'repartitioned over a boot',
    { wwid: 'a', table: 'gpt:1' },
    { wwid: 'a', table: 'gpt:2', bootId: 'two' },
    'same',
  ],
  [
    'equal name, other serial',
    { wwid: 'a', serial: '1' },
    { wwid: 'a', serial: '2', bootId: 'two' },
    'different',
  ],
  ['known by its serial alone', { serial: '1' }, { serial: '1', wwid: 'a', bootId: 'two' }, 'same'],
  ['known by its table alone', { table: 'mbr:1' }, { table: 'mbr:1', bootId: 'two' }, 'same'],
  ['another table, and nothing else', { table: 'mbr:1' }, { table: 'mbr:2', bootId: 'two' }, 'different'],
  ['another file system', { fileSystem: 'xfs:1' }, { fileSystem: 'xfs:2' }, 'different'],
  [
    'equal content on a larger disk',
    { table: 'gpt:1' },
    { table: 'gpt:1', sizeBytes: 65 << 20, bootId: 'two' },
    'unknown',
  ],
  ['it was blank, now it has a table', {}, { table: 'gpt:1' }, 'unknown'],
  [
    'an old kernel, and nothing to know it by',
    { attachment: 'sysfs:7/8' },
    { attachment: 'sysfs:7/8' },
    'unknown',
  ],
  [
    'an old kernel and a serial',
    { attachment: 'sysfs:7/8', serial: '1' },
    { attachment: 'sysfs:7/8', serial: '1' },
    'unbroken',
  ],
  [
    'an old kernel, whose numbers come again',
    { attachment: 'sysfs:7/8', serial: '1', table: 'gpt:1' },
    { attachment: 'sysfs:7/8', serial: '1', table: 'gpt:2' },
    'same',
  ],
];
for (const [what, before, now, expected] of judgements)
  test(`${what}: ${expected}`, (t) => {
    t.is(judgeDisk(facts(before), facts(now)), expected);
    const read = [before, now].map((each) => parseIdentity(identityText(facts(each)))!);
    t.is(judgeDisk(read[0]!, read[1]!), expected, 'and so say their texts');
  });

test('the text of an identity fits into a hello, whatever makers put into names', (t) => {
  const long = 'x y=\u0000'.repeat(200);
  const text = identityText(
    facts({
      bootId: '0b7cb5a1-7f65-4f4c-9e77-7e8c5a2f3b11',
      attachment: 'seq:18446744073709551615',
      ...{ wwid: `${long}1`, serial: `${long}2`, table: long, fileSystem: long },
      sizeBytes: Number.MAX_SAFE_INTEGER,
    }),
  );
  t.true(text.length <= 512, `${text.length}`);
  t.regex(text, /^[!-~]+( [!-~]+)*$/);
  const other = parseIdentity(text)!;
  t.not(other.wwid, other.serial, 'long names differ by their ends');
  t.is(parseIdentity('disk/9 boot=one size=1'), undefined);
  t.is(parseIdentity('something'), undefined);
});

const at = (name: string, more: Partial<DiskFacts>): FoundDisk => ({ name, facts: facts(more) });
const placements: {
  what: string;
  sought: { at?: FoundDisk; known?: Partial<DiskFacts> }[];
  others?: FoundDisk[];
  expected: string[];
}[] = [
  {
    what: 'first seen',
    sought: [{ at: at('sda', {}) }, { at: at('sdb', {}) }],
    expected: ['sda new', 'sdb new'],
  },
  {
    what: 'paths that changed places are followed by attachment',
    sought: [
      { at: at('sdb', { attachment: 'seq:2' }), known: { attachment: 'seq:1' } },
      { at: at('sda', { attachment: 'seq:1' }), known: { attachment: 'seq:2' } },
    ],
    expected: ['sda unbroken elsewhere', 'sdb unbroken elsewhere'],
  },
  {
    what: 'disks that changed places are followed by what is on them',
    sought: [
      {
        at: at('sda', { attachment: 'seq:3', fileSystem: 'ext:b' }),
        known: { attachment: 'seq:1', fileSystem: 'ext:a' },
      },
      {
        at: at('sdb', { attachment: 'seq:4', fileSystem: 'ext:a' }),
        known: { attachment: 'seq:2', fileSystem: 'ext:b' },
      },
    ],
    expected: ['sdb same elsewhere', 'sda same elsewhere'],
  },
  {
    what: 'blank disks attached anew are taken where they are',
    sought: [
      { at: at('sda', { attachment: 'seq:3' }), known: { attachment: 'seq:1' } },
      { at: at('sdb', { attachment: 'seq:4' }), known: { attachment: 'seq:2' } },
    ],
    expected: ['sda unknown', 'sdb unknown'],
  },
  {
    what: 'a foreign disk in the place of one that is gone',
    sought: [{ at: at('sda', { wwid: 'z' }), known: { wwid: 'a' } }],
    expected: ['sda different'],
  },
  {
    what: 'a disk under another name, with a foreign one in its place',
    sought: [{ at: at('sda', { wwid: 'z' }), known: { wwid: 'a' } }],
    others: [at('sdc', { wwid: 'a' })],
    expected: ['sdc same elsewhere'],
  },
  {
    what: 'a copy of the content elsewhere does not replace what is at the path',
    sought: [{ at: at('sda', { table: 'gpt:9' }), known: { table: 'gpt:1' } }],
    others: [at('loop3', { table: 'gpt:1' })],
    expected: ['sda different'],
  },
  {
    what: 'two copies elsewhere and nothing at the path: neither',
    sought: [{ known: { table: 'gpt:1' } }],
    others: [at('loop3', { table: 'gpt:1' }), at('loop4', { table: 'gpt:1' })],
    expected: ['gone'],
  },
  {
    what: 'one takes the place of the other, which is gone',
    sought: [{ known: { wwid: 'a' } }, { at: at('sdb', { wwid: 'a' }), known: { wwid: 'b' } }],
    expected: ['sdb same elsewhere', 'gone'],
  },
  {
    what: 'equal serials: each at its own path',
    sought: [
      { at: at('sda', { serial: '1', bootId: 'two' }), known: { serial: '1' } },
      { at: at('sdb', { serial: '1', bootId: 'two' }), known: { serial: '1' } },
    ],
    expected: ['sda same', 'sdb same'],
  },
  {
    what: 'equal serials, and content that tells',
    sought: [
      {
        at: at('sda', { serial: '1', table: 'gpt:2', bootId: 'two' }),
        known: { serial: '1', table: 'gpt:1' },
      },
      {
        at: at('sdb', { serial: '1', table: 'gpt:1', bootId: 'two' }),
        known: { serial: '1', table: 'gpt:2' },
      },
    ],
    expected: ['sdb same elsewhere', 'sda same elsewhere'],
  },
];
for (const { what, sought, others, expected } of placements)
  test(`placed: ${what}`, (t) => {
    const placed = placeDisks(
      sought.map((each) => ({ atPath: each.at, known: each.known && facts(each.known) })),
      others ?? [],
    );
    t.deepEqual(
      placed.map((each) =>
        each ? `${each.found.name} ${each.judgement}${each.isElsewhere ? ' elsewhere' : ''}` : 'gone',
      ),
      expected,
    );
  });

const missing = canLoop();
(missing === undefined ? anyTest.serial : anyTest.skip)(
  `ids are those that the programs say${missing ? ` (skipped: ${missing})` : ''}`,
  async (t) => {
    const timeoutMilliseconds = 60_000;
    const device = await makeLoop(t, 320 << 20);
    const content = async (): Promise<Buffer> => {
      await using file = await open(device.backingFile);
      return (await file.read(Buffer.alloc(identityBytes), 0, identityBytes, 0)).buffer;
    };
    t.is(fileSystemId(await content()), undefined);
    t.is(tableId(await content()), undefined);
    const uuid = 'a5c1f1d0-51ab-4e6c-8a8e-0123456789ab';
    for (const [command, ...args] of [
      ['mkfs.ext4', '-q', '-F', '-U', uuid],
      ['mkfs.xfs', '-q', '-f', '-m', `uuid=${uuid}`],
      ['mkfs.btrfs', '-q', '-f', '-U', uuid],
      ['mkswap', '-f', '-U', uuid],
    ] as const) {
      await run('wipefs', ['-qa', device.path], { timeoutMilliseconds });
      await run(command, [...args, device.path], { timeoutMilliseconds });
      await run('sync', [], { timeoutMilliseconds });
      t.is(fileSystemId(await content())?.split(':')[1], uuid, command);
    }
    await run('wipefs', ['-qa', device.path], { timeoutMilliseconds });
    for (const [label, expected] of [
      ['gpt', `gpt:${uuid}`],
      ['dos', 'mbr:1badcafe'],
    ] as const) {
      const id = label === 'gpt' ? uuid : '0x1badcafe';
      await run('sfdisk', ['-q', '--no-reread', device.path], {
        timeoutMilliseconds,
        input: `label: ${label}\nlabel-id: ${id}\n`,
      });
      await run('sync', [], { timeoutMilliseconds });
      t.is(tableId(await content()), expected, label);
    }
    const before = attachmentNow(join('/sys/block', device.name));
    t.regex(before ?? '', /^(seq:\d+|sysfs:\d+\/\d+)$/);
    t.is(attachmentNow('/sys/block/no-such-disk'), undefined);
  },
);
