// Goal: a copy of a machine is told from its original, and an original whose hardware changed in part is not taken for one.
// Method: the table of docs/decisions/copies-of-machines.md, and the text at its longest.
import test from 'ava';
import {
  compareMachines,
  lastingIdentity,
  type MachineIdentity,
  machineIdentityLengthMax,
  parseMachineIdentity,
  renderMachineIdentity,
} from '../../src/model/machine-identity.ts';

const original: MachineIdentity = {
  instance: '0123456789abcdef',
  product: 'p1',
  serial: 's1',
  nics: ['n1'],
  disks: ['d1', 'd2'],
  system: 'm1',
};
const clone: MachineIdentity = {
  ...original,
  product: 'p2',
  serial: 's2',
  nics: ['n2'],
  disks: ['d3', 'd4'],
};
const bare: MachineIdentity = { nics: [], disks: [] };

for (const [title, other, likeness, known = original] of [
  ['itself', original, 'all'],
  ['rebooted', { ...original, instance: 'fedcba9876543210' }, 'all'],
  ['one card replaced', { ...original, nics: ['n9'] }, 'most'],
  ['a card added', { ...original, nics: ['n1', 'n9'] }, 'all'],
  ['a UUID that an administrator changed', { ...original, product: 'p9', serial: 's9' }, 'most'],
  ['a disk added', { ...original, disks: ['d1', 'd2', 'd9'] }, 'all'],
  ['one of two disks replaced', { ...original, disks: ['d1', 'd9'] }, 'most'],
  ['all disks replaced', { ...original, disks: ['d8', 'd9'] }, 'most'],
  ['another system id', { ...original, system: 'm9' }, 'all'],
  ['firmware that says nothing any more', { ...original, product: undefined, serial: undefined }, 'all'],
  ['cloned by a hypervisor', clone, 'other'],
  ['cloned with its UUID kept', { ...clone, product: 'p1', serial: 's1' }, 'other'],
  ['cloned beside a disk that both share', { ...clone, disks: ['d1', 'd4'] }, 'other'],
  ['cloned by a cloud with the host’s serial', { ...clone, serial: 's1' }, 'other'],
  ['restored in place: UUID and card kept, disks new', { ...original, disks: ['d8', 'd9'] }, 'most'],
  ['moved to other hardware', { ...clone, system: 'm1' }, 'other'],
  // Nothing known of its disks: a card replaced cannot be told from a clone that kept the UUID. Tickets decide.
  [
    'one of two voices',
    { ...original, disks: [], nics: ['n9'] },
    'half',
    { ...original, disks: [] } as MachineIdentity,
  ],
  ['no hardware known, one system', { ...bare, system: 'm1' }, 'unknown', { ...bare, system: 'm1' }],
  ['no hardware known, another system', { ...bare, system: 'm2' }, 'other', { ...bare, system: 'm1' }],
  ['nothing known', bare, 'unknown', bare],
] as [string, MachineIdentity, string, MachineIdentity?][])
  test(`${title}: ${likeness}`, (t) => {
    t.is(compareMachines(known, other), likeness as never);
    t.is(compareMachines(other, known), likeness as never, 'both ways');
    const through = (identity: MachineIdentity) => parseMachineIdentity(renderMachineIdentity(identity))!;
    t.is(compareMachines(through(known), through(other)), likeness as never, 'as text');
  });

test('the text fits the hello at its longest, and says what it was made from', (t) => {
  const digests = (letter: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${letter}${String(index).padStart(11, '0')}`);
  const large: MachineIdentity = {
    instance: 'f'.repeat(16),
    product: 'a'.repeat(12),
    serial: 'b'.repeat(12),
    nics: digests('c', 40),
    disks: digests('d', 64),
    system: 'e'.repeat(12),
  };
  const text = renderMachineIdentity(large);
  t.true(text.length <= machineIdentityLengthMax, `${text.length}`);
  t.is(compareMachines(parseMachineIdentity(text)!, large), 'all');
  t.deepEqual(parseMachineIdentity(renderMachineIdentity(original)), original);
  t.is(parseMachineIdentity(lastingIdentity(text))?.instance, undefined);
  t.is(parseMachineIdentity('leeward-machine/2 instance=1'), undefined);
  t.is(parseMachineIdentity(undefined), undefined);
});
