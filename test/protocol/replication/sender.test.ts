// Goal: what was handed to the sender is acknowledged or answered by `unacknowledged`, and the window holds, whatever the
// receiver says. Method: random conversations against a list.

import test from 'ava';
import fc from 'fast-check';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { FrameType, frame, headerBytes, jsonFrame } from '../../../src/protocol/replication/frame.ts';
import { digestBytes, digestChunkBytes, type Hello } from '../../../src/protocol/replication/messages.ts';
import { Sender, type SenderEvent, type SentRange } from '../../../src/protocol/replication/sender.ts';

const windowBytes = 64 << 10;
const diskId = ProtectedDiskId.parse(crypto.randomUUID());
const hello: Hello = {
  protocolVersions: [2],
  itemId: ProtectedItemId.parse(crypto.randomUUID()),
  sessionId: crypto.randomUUID(),
  generation: 5,
  bootId: 'boot',
  agentVersion: 'test',
  hostName: 'test',
  disks: [{ diskId, sizeBytes: digestChunkBytes * 4 + 512, name: '/dev/x' }],
};
const welcome = {
  protocolVersion: 2,
  sessionId: hello.sessionId,
  generation: 5,
  windowBytes,
  disks: [{ diskId, state: 'in-sync' }],
};

function greeted(): Sender {
  const sender = new Sender(hello);
  sender.hello();
  sender.receive(jsonFrame(FrameType.welcome, welcome));
  return sender;
}

const codeOf = ([event]: SenderEvent[]) => (event?.event === 'ended' ? event.error.code : event?.event);

test('every range is acknowledged or un-acknowledged, in order, and the window is never exceeded by a second frame', (t) => {
  const step = fc.oneof(
    fc.record({
      do: fc.constantFrom('data' as const, 'zero' as const),
      blocks: fc.integer({ min: 1, max: 8 }),
    }),
    fc.record({ do: fc.constant('health' as const), blocks: fc.constant(0) }),
    fc.record({ do: fc.constant('ack' as const), blocks: fc.integer({ min: -2, max: 6 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const sender = greeted();
      const model: { sequence: number; range: SentRange | undefined; weight: number }[] = [];
      let acknowledged = 0;
      for (const each of steps) {
        const lengthBytes = each.blocks * 4096;
        const payloadBytes = each.do === 'data' ? lengthBytes : 0;
        if (each.do === 'ack') {
          const sequence = Math.max(0, Math.min(sender.sequence, acknowledged + each.blocks));
          const events = sender.receive(frame(FrameType.ack, { sequence, generation: 5 }));
          t.is(events.length, sequence > acknowledged ? 1 : 0);
          acknowledged = Math.max(acknowledged, sequence);
        } else {
          const held = model.filter(({ sequence }) => sequence > acknowledged);
          const heldBytes = held.reduce((sum, { weight }) => sum + weight, 0);
          const weight = (each.do === 'health' ? 2 : payloadBytes) + headerBytes;
          const hasRoom = held.length === 0 || heldBytes + weight <= windowBytes;
          t.is(sender.hasRoomFor(weight - headerBytes), hasRoom);
          if (!hasRoom) continue;
          const range = { diskIndex: 0, offsetBytes: 4096, lengthBytes };
          const made =
            each.do === 'data'
              ? sender.data(range, Buffer.alloc(lengthBytes))
              : each.do === 'zero'
                ? sender.zero(range)
                : sender.json(FrameType.health, {});
          t.is(made.sequence, (model.at(-1)?.sequence ?? 0) + 1);
          model.push({ sequence: made.sequence, range: each.do === 'health' ? undefined : range, weight });
        }
        const held = model.filter(({ sequence }) => sequence > acknowledged);
        t.deepEqual(
          sender.unacknowledged(),
          held.flatMap(({ range }) => (range ? [range] : [])),
        );
        t.is(
          sender.unacknowledgedBytes,
          held.reduce((sum, { weight }) => sum + weight, 0),
        );
      }
    }),
    { numRuns: 60 },
  );
});

test('what breaks the rules ends the session and never moves the window', (t) => {
  const wrong = [
    frame(FrameType.ack, { sequence: 2, generation: 5 }),
    frame(FrameType.ack, { sequence: 1, generation: 4 }),
    frame(FrameType.data),
    jsonFrame(FrameType.welcome, welcome),
    frame(FrameType.digests, { lengthBytes: digestChunkBytes, payload: Buffer.alloc(digestBytes - 1) }),
    frame(FrameType.digests, { offsetBytes: 512, lengthBytes: 512, payload: Buffer.alloc(digestBytes) }),
    frame(FrameType.digests, { lengthBytes: 512, payload: Buffer.alloc(digestBytes) }),
    frame(FrameType.digests, { diskIndex: 1, lengthBytes: 65536, payload: Buffer.alloc(digestBytes) }),
  ];
  for (const bad of wrong) {
    const sender = greeted();
    const range = { diskIndex: 0, offsetBytes: 0, lengthBytes: 4096 };
    sender.zero(range);
    t.is(codeOf(sender.receive(bad)), 'ProtocolViolated');
    t.is(sender.state, 'ended');
    t.deepEqual(sender.unacknowledged(), [range]);
    t.deepEqual(sender.receive(frame(FrameType.ack, { sequence: 1, generation: 5 })), []);
  }
});

test('digests of a disk whose last chunk is short are taken, and are a copy', (t) => {
  const sender = greeted();
  const payload = Buffer.alloc(digestBytes, 7);
  const [event] = sender.receive(
    frame(FrameType.digests, { offsetBytes: digestChunkBytes * 4, lengthBytes: 512, payload }),
  );
  payload.fill(0);
  t.like(event, { event: 'digests', offsetBytes: digestChunkBytes * 4, lengthBytes: 512 });
  t.true(event?.event === 'digests' && event.digests.equals(Buffer.alloc(digestBytes, 7)));
});

test('a welcome for another session, version or disk is not accepted', (t) => {
  for (const other of [
    { generation: 6 },
    { sessionId: crypto.randomUUID() },
    { protocolVersion: 1 },
    { disks: [] },
    { disks: [{ diskId: crypto.randomUUID(), state: 'in-sync' }] },
  ]) {
    const sender = new Sender(hello);
    sender.hello();
    t.is(codeOf(sender.receive(jsonFrame(FrameType.welcome, { ...welcome, ...other }))), 'ProtocolViolated');
  }
});

test('a fenced session never comes back, an order of a newer receiver is ignored', (t) => {
  const refused = {
    code: 'X',
    summary: 's',
    possibleCauses: 'c',
    recommendedAction: 'a',
    retry: 'transient',
  };
  const sender = greeted();
  t.is(sender.receive(jsonFrame(FrameType.order, { order: 'dance' }))[0]?.event, 'ignored');
  const [event] = sender.receive(jsonFrame(FrameType.fenced, refused));
  t.true(
    event?.event === 'ended' && event.error.code === 'SessionFenced' && event.error.retry === 'permanent',
  );
});
