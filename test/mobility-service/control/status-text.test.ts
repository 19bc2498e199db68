// Goal: whoever types `status` reads what is going on, in words. Method: one status of each kind.
import test from 'ava';
import { type ServiceStatus, statusText } from '../../../src/mobility-service/control/status-text.ts';
import { BookmarkId, ProtectedDiskId } from '../../../src/model/ids.ts';

const diskId = ProtectedDiskId.parse('7f9619ff-8b86-4011-b42d-00cf4fc964ff');
const now = Date.parse('2026-01-02T03:04:05.000Z');
const status: ServiceStatus = {
  connection: 'connected',
  generation: 7,
  pendingBytes: 3 << 20,
  unacknowledgedBytes: 4096,
  disks: [{ diskId, name: '/dev/sda', sizeBytes: 64 * 2 ** 30, isInSync: true }],
  progress: [],
  lastBookmark: {
    bookmarkId: BookmarkId.parse('af9619ff-8b86-4011-b42d-00cf4fc964ff'),
    type: 'ApplicationConsistent',
    method: 'freeze',
    takenAt: '2026-01-02T03:02:00.000Z',
    frozenMilliseconds: 54.25,
  },
  residentBytes: 80 * 2 ** 20,
  writtenAt: '2026-01-02T03:04:04.000Z',
};

test('a service in sync says what it has, and when its last bookmark was', (t) => {
  t.is(
    statusText(status, now),
    `service:       running, connected to the process server
disk:          /dev/sda, 64.0 GiB, in sync
changes:       3.0 MiB written and not sent yet, 4.0 KiB sent and not confirmed
last bookmark: 2026-01-02T03:02:00.000Z (2 min 5 s ago), application-consistent, file systems stood still for 54 ms
memory:        80.0 MiB`,
  );
});

test('a walk says how far it is, why, and how long it takes', (t) => {
  const progress = {
    diskId,
    kind: 'resync' as const,
    cause: 'TraceEventsLost' as const,
    doneBytes: 16 * 2 ** 30,
    sentBytes: 5 * 2 ** 30,
    totalBytes: 64 * 2 ** 30,
    startedAt: status.writtenAt,
    etaSeconds: 4000,
  };
  const text = statusText({ ...status, progress: [progress], lastBookmark: undefined }, now);
  t.regex(text, /compared with its copy \(TraceEventsLost\): 25 %, about 1 h 6 min to go, 5\.0 GiB sent/);
  t.regex(text, /last bookmark: none since/);
  t.regex(
    statusText(
      { ...status, progress: [{ ...progress, kind: 'initial', etaSeconds: undefined }] } as never,
      now,
    ),
    /initial replication: 25 %, 5\.0 GiB sent/,
  );
});

test('a stopped service and one that no longer writes are told apart, with the last error and event', (t) => {
  t.regex(statusText({ ...status, connection: 'stopped' }, now + 60_000), /stopped 1 min 1 s ago/);
  t.regex(statusText(status, now + 3_600_000), /NOT RUNNING, or it hangs: it said nothing for 1 h 0 min/);
  const connecting = statusText(
    {
      ...status,
      connection: 'connecting',
      disks: [{ ...status.disks[0]!, isInSync: false }],
      lastError: 'LinkBroken: no route',
      lastHealthEvent: {
        code: 'ChangesLost',
        severity: 'warning',
        summary: 'missed',
        possibleCauses: 'c',
        recommendedAction: 'Nothing.',
        raisedAt: status.writtenAt,
        context: {},
      },
    },
    now,
  );
  t.regex(connecting, /connecting to the process server/);
  t.regex(connecting, /not connected/);
  t.regex(connecting, /ChangesLost: missed\n +what to do: Nothing\./);
  t.regex(connecting, /last error: +LinkBroken: no route/);
});
