// Goal: the receiver takes only what the protocol allows, and nothing of a frame that breaks it. Method: one rule a line.
import test from 'ava';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { type Frame, FrameType, frame, jsonFrame } from '../../../src/protocol/replication/frame.ts';
import type { Hello } from '../../../src/protocol/replication/messages.ts';
import { parseHello, type ReceivedDisk, Receiver } from '../../../src/protocol/replication/receiver.ts';

const diskId = ProtectedDiskId.parse(crypto.randomUUID());
const sizeBytes = 1 << 20;
const hello: Hello = {
  protocolVersions: [2],
  itemId: ProtectedItemId.parse(crypto.randomUUID()),
  sessionId: crypto.randomUUID(),
  generation: 5,
  bootId: 'boot',
  agentVersion: 'test',
  hostName: 'test',
  disks: [{ diskId, sizeBytes, name: '/dev/x' }],
};
const inSync: ReceivedDisk = { diskId, sizeBytes, state: 'in-sync' };
const resyncId = crypto.randomUUID();

function conversation(known: readonly ReceivedDisk[]) {
  const receiver = new Receiver(hello, known);
  let sequence = 0;
  const numbered = (made: Frame): Frame => ({ ...made, generation: 5, sequence: sequence + 1 });
  return {
    receiver,
    take: (made: Frame) => {
      const received = receiver.accept(numbered(made));
      sequence += 1;
      return received;
    },
    numbered,
  };
}
const begin = (changes: object = {}) =>
  jsonFrame(FrameType.resyncBegin, {
    resyncId,
    diskId,
    kind: 'initial',
    cause: 'InitialReplication',
    fromBytes: 0,
    sizeBytes,
    ...changes,
  });
const end = (id = resyncId) =>
  jsonFrame(FrameType.resyncEnd, { resyncId: id, diskId, comparedBytes: sizeBytes, sentBytes: 0 });
const bookmark = jsonFrame(FrameType.bookmark, {
  bookmarkId: crypto.randomUUID(),
  type: 'CrashConsistent',
  method: 'quiet',
  takenAt: '2026-01-02T03:04:05.000Z',
  frozenMilliseconds: 0,
});

test('an initial replication makes a disk in sync, and only then bookmarks are taken', (t) => {
  const { receiver, take, numbered } = conversation([]);
  t.is(receiver.disks[0]!.state, 'empty');
  t.throws(() => receiver.accept(numbered(bookmark)), { message: /empty/ });
  t.is(take(begin()).kind, 'resync-begin');
  t.is(receiver.disks[0]!.state, 'initial');
  t.is(take(frame(FrameType.zero, { lengthBytes: sizeBytes })).kind, 'zero');
  t.throws(() => receiver.accept(numbered(bookmark)), { message: /initial/ });
  t.is(take(end()).kind, 'resync-end');
  t.is(take(bookmark).kind, 'bookmark');
  t.is(receiver.sequence, 4);
});

test('a frame that breaks a rule is refused, and leaves everything as it was', (t) => {
  const wrong: [string, Frame][] = [
    ['another generation', { ...bookmark, generation: 4, sequence: 1 }],
    ['a gap', { ...bookmark, generation: 5, sequence: 2 }],
    ['a repetition', { ...bookmark, generation: 5, sequence: 0 }],
    ...(
      [
        ['an unknown disk', frame(FrameType.zero, { diskIndex: 1, lengthBytes: 1 })],
        ['nothing', frame(FrameType.zero)],
        ['beyond the end', frame(FrameType.zero, { offsetBytes: sizeBytes - 511, lengthBytes: 512 })],
        ['an initial walk over content', begin()],
        ['a walk of another size', begin({ kind: 'resync', sizeBytes: 1 })],
        ['a walk that goes on where none was', begin({ kind: 'resync', fromBytes: 65536 })],
        ['the end of no walk', end()],
        ['an acknowledgement', frame(FrameType.ack)],
        ['a second hello', frame(FrameType.hello)],
        ['a broken bookmark', jsonFrame(FrameType.bookmark, { type: 'Perfect' })],
      ] as [string, Frame][]
    ).map(([what, made]): [string, Frame] => [what, { ...made, generation: 5, sequence: 1 }]),
  ];
  for (const [what, made] of wrong) {
    const { receiver, take } = conversation([inSync]);
    t.throws(() => receiver.accept(made), undefined, what);
    t.is(receiver.sequence, 0, what);
    t.deepEqual(receiver.disks, [inSync], what);
    t.is(take(bookmark).kind, 'bookmark', what);
  }
});

test('a walk goes on only as the kind that it was, and its end must name it', (t) => {
  const open: ReceivedDisk = { diskId, sizeBytes, state: 'resync', resync: { resyncId, kind: 'resync' } };
  const { receiver, take, numbered } = conversation([open]);
  t.throws(() => receiver.accept(numbered(begin({ fromBytes: 65536 }))));
  take(begin({ kind: 'resync', cause: 'TraceEventsLost', fromBytes: 65536 }));
  t.throws(() => receiver.accept(numbered(end(crypto.randomUUID()))), { message: /not open/ });
  take(end());
  t.is(receiver.disks[0]!.state, 'in-sync');
});

test('a disk that comes back with another size has to be compared, with that cause', (t) => {
  const { receiver } = conversation([{ ...inSync, sizeBytes: sizeBytes / 2 }]);
  t.deepEqual(receiver.disks, [{ diskId, sizeBytes, state: 'resync', cause: 'DiskResized' }]);
  t.deepEqual(conversation([{ ...inSync, sizeBytes: 0 }]).receiver.disks, [inSync]);
});

test('a connection begins with a hello, and a hello has only known fields', (t) => {
  t.throws(() => parseHello(frame(FrameType.data)), { message: /hello/ });
  t.throws(() => parseHello(jsonFrame(FrameType.hello, { ...hello, more: 1 })));
  t.deepEqual(parseHello(jsonFrame(FrameType.hello, hello)), hello);
});

const other = ProtectedDiskId.parse(crypto.randomUUID());
const third = ProtectedDiskId.parse(crypto.randomUUID());
const identified = (number: number, more = '') =>
  `disk/1 boot=boot at=seq:${number}${more} size=${sizeBytes}`;
const without = (...missingDisks: { diskId: string; cause: string }[]) =>
  jsonFrame(FrameType.bookmark, { ...JSON.parse(Buffer.from(bookmark.payload).toString()), missingDisks });

test('a bookmark is taken without the disks that it names, and only without those', (t) => {
  const missing: Hello = {
    ...hello,
    disks: [
      { diskId, sizeBytes, name: '/dev/x' },
      { diskId: other, sizeBytes: 4096, name: '/dev/y', isMissing: true },
      { diskId: third, sizeBytes, name: '/dev/z' },
    ],
  };
  const known: ReceivedDisk[] = [
    inSync,
    { diskId: other, sizeBytes: 8192, state: 'in-sync', identity: identified(9) },
    { diskId: third, sizeBytes, state: 'resync', cause: 'DiskReturned' },
  ];
  const receiver = new Receiver(missing, known);
  t.deepEqual(receiver.disks[1], known[1], 'nothing is known of a missing disk but what was known');
  const numbered = (made: Frame): Frame => ({ ...made, generation: 5, sequence: receiver.sequence + 1 });
  const gone = { diskId: other, cause: 'gone' };
  const comparing = { diskId: third, cause: 'comparing' };
  const wrong: [string, Frame, RegExp][] = [
    ['one disk is missing and not named', without(comparing), /which is missing/],
    ['one is compared and not named', without(gone), /is resync/],
    ['no disk is left', without(gone, comparing, { diskId, cause: 'gone' }), /no disk at all/],
    ['one is named twice', without(gone, gone, comparing), /twice/],
    [
      'one is not protected',
      without(gone, comparing, { diskId: crypto.randomUUID(), cause: 'gone' }),
      /hello/,
    ],
    ['content of a missing disk', frame(FrameType.zero, { diskIndex: 1, lengthBytes: 512 }), /is missing/],
    ['a walk of a missing disk', begin({ diskId: other, kind: 'resync', sizeBytes: 8192 }), /is missing/],
  ];
  for (const [why, made, message] of wrong) t.throws(() => receiver.accept(numbered(made)), { message }, why);
  t.is(receiver.accept(numbered(without(gone, comparing))).kind, 'bookmark');
});

test('a disk that is another one, or was away, has to be compared though its sender does not say so', (t) => {
  const states: [string, string | undefined, string | undefined, string, string | undefined][] = [
    ['attached all the time', identified(1), identified(1), 'in-sync', undefined],
    [
      'repartitioned meanwhile',
      identified(1, ' table=gpt:1'),
      identified(1, ' table=gpt:2'),
      'in-sync',
      undefined,
    ],
    ['attached anew', identified(1, ' wwid=a'), identified(2, ' wwid=a'), 'resync', 'DiskReturned'],
    ['attached anew, and nothing tells', identified(1), identified(2), 'resync', 'DiskReturned'],
    ['another one', identified(1, ' wwid=a'), identified(2, ' wwid=b'), 'resync', 'DiskReplaced'],
    [
      'another boot',
      identified(1).replace('boot=boot', 'boot=old'),
      identified(1),
      'resync',
      'MachineRebooted',
    ],
    ['not said before', undefined, identified(1), 'in-sync', undefined],
    ['not said any more', identified(1), undefined, 'in-sync', undefined],
    ['of a version to come', identified(1), 'disk/2 something', 'in-sync', undefined],
  ];
  for (const [what, before, now, state, cause] of states) {
    const said = {
      ...hello,
      disks: [{ ...hello.disks[0]!, ...(now === undefined ? {} : { identity: now }) }],
    };
    const receiver = new Receiver(said, [
      { ...inSync, ...(before === undefined ? {} : { identity: before }) },
    ]);
    const [disk] = receiver.disks;
    t.is(disk!.state, state as never, what);
    t.is(disk!.cause, cause as never, what);
    t.is(disk!.identity, now ?? before, what);
  }
});
