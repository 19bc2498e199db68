/**
 * Goal: over a real connection that is slow and breaks in the middle of frames, what arrives is the source, byte for byte; and
 * nobody sends faster than either end allows.
 * Method: the real session and drain over real TLS through a relay that cuts and delays, against the reference receiver;
 * the throttle on a clock of its own.
 */
import test from 'ava';
import { Arena } from '../../../src/disk/arena.ts';
import type { Disk } from '../../../src/disk/disk.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import { ReadPace, sendExtents } from '../../../src/mobility-service/drain/drain.ts';
import { Session } from '../../../src/mobility-service/outlet/session.ts';
import type { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { hasCode } from '../../../src/platform/errors.ts';
import { FrameType, frame, jsonFrame, protocolVersion } from '../../../src/protocol/replication/frame.ts';
import type { Hello } from '../../../src/protocol/replication/messages.ts';
import { dialLink } from '../../../src/protocol/replication/tls-link.ts';
import { serveLinks } from '../../support/link-server.ts';
import { memoryLinkPair } from '../../support/memory-link.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';
import { Relay } from '../../support/relay.ts';
import { Life, SimulatedClock, Timeline, WallClock } from '../../support/simulated/clock.ts';
import { SeededRandom } from '../../support/simulated/random.ts';
import { testCertificates } from '../../support/test-certificates.ts';

const itemId = crypto.randomUUID() as ProtectedItemId;
const diskId = crypto.randomUUID() as ProtectedDiskId;
const sizeBytes = 8 << 20;
const listener = { digests: () => {}, ordered: () => {}, acknowledged: () => {}, ignored: () => {} };

const helloOf = (generation: number): Hello => ({
  protocolVersions: [protocolVersion],
  itemId,
  sessionId: crypto.randomUUID(),
  generation,
  bootId: 'test',
  agentVersion: '0',
  hostName: 'test',
  disks: [{ diskId, sizeBytes, name: '/dev/test' }],
});

const certificates = await testCertificates(['process-server/test', itemId]);
test.after.always(() => certificates.remove());

test('over TLS that is cut within frames and delayed, the image at the bookmark is the source', async (t) => {
  const random = new SeededRandom('tls-cuts');
  const receiver = new ReferenceReceiver();
  const behind = await serveLinks(t, certificates, (link) => receiver.serve(link));
  let cutsLeft = 25;
  const { relay, port } = await Relay.to(behind, {
    // Some within the handshake, most within frames.
    cutAfterBytes: () => (cutsLeft-- > 0 ? random.between(1000, 900_000) : undefined),
    delayMilliseconds: () => (random.chance(0.05) ? random.between(1, 10) : 0),
  });
  t.teardown(() => relay.close());

  const source = random.bytes(sizeBytes);
  source.fill(0, 1 << 20, 3 << 20);
  const disk: Disk = {
    sizeBytes,
    read: async (target, offsetBytes) => {
      target.set(source.subarray(offsetBytes, offsetBytes + target.byteLength));
    },
    write: () => Promise.reject(new Error('a source is not written to')),
    flush: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const arena = new Arena(4 << 20);
  let marked = new ChangeMap(sizeBytes);
  marked.mark(0, sizeBytes);
  let generation = 0;
  while (receiver.points.length === 0) {
    generation += 1;
    let session: Session | undefined;
    let taken = new ChangeMap(sizeBytes);
    try {
      const link = await dialLink({
        host: '127.0.0.1',
        port,
        tls: certificates.of(itemId),
        accepts: (name) => name === 'process-server/test',
        clock: systemClock,
      });
      session = await Session.open({ link, hello: helloOf(generation), clock: systemClock, listener });
      const common = { resyncId: crypto.randomUUID(), diskId };
      const state = session.welcome.disks[0]!.state;
      if (state !== 'in-sync')
        await session.json(FrameType.resyncBegin, {
          ...common,
          kind: state === 'resync' ? 'resync' : 'initial',
          cause: state === 'resync' ? 'UncleanShutdown' : 'InitialReplication',
          fromBytes: 0,
          sizeBytes,
        });
      // Writes go on for as long as the link breaks.
      for (let round = 0; round < 3 || cutsLeft > 0; round++) {
        taken = marked;
        marked = new ChangeMap(sizeBytes);
        const sent = await sendExtents(taken.extents(1 << 20), {
          disk,
          diskIndex: 0,
          session,
          arena,
          clock: systemClock,
          pace: new ReadPace(),
        });
        taken = new ChangeMap(sizeBytes);
        t.deepEqual(sent.unreadable, []);
        if (cutsLeft <= 0 && round >= 2) break;
        for (let count = 0; count < 20; count++) {
          const at = random.between(0, sizeBytes / 4096 - 1) * 4096;
          source.set(random.chance(0.2) ? Buffer.alloc(4096) : random.bytes(4096), at);
          marked.mark(at, 4096);
        }
      }
      const drained = await sendExtents(marked.extents(1 << 20), {
        disk,
        diskIndex: 0,
        session,
        arena,
        clock: systemClock,
        pace: new ReadPace(),
      });
      t.deepEqual(drained.unreadable, []);
      if (state !== 'in-sync')
        await session.json(FrameType.resyncEnd, { ...common, comparedBytes: sizeBytes, sentBytes: 0 });
      const sequence = await session.json(FrameType.bookmark, {
        bookmarkId: crypto.randomUUID(),
        type: 'CrashConsistent',
        method: 'quiet',
        takenAt: new Date(0).toISOString(),
        frozenMilliseconds: 0,
      });
      await session.acknowledgement(sequence);
    } catch (error) {
      if (!hasCode(error, 'LinkBroken', 'LinkSilent', 'PeerUnreachable')) throw error;
    } finally {
      // What was not acknowledged counts as changed again: the rule that this test is about.
      marked.merge(taken);
      for (const range of session?.unacknowledged() ?? []) marked.mark(range.offsetBytes, range.lengthBytes);
      await session?.close();
    }
  }
  t.true(relay.cuts >= 15, `${relay.cuts} cuts`);
  t.true(receiver.points[0]!.images[0]!.equals(source), 'the point is the source');
});

test('a session sends no faster than its own limit, the welcome and a later order allow', async (t) => {
  const timeline = new Timeline();
  const clock = new SimulatedClock(timeline, new Life('session'), new WallClock(0));
  const pair = memoryLinkPair();
  const arrived: number[] = [];
  const serve = async () => {
    for await (const one of pair.receiver.frames()) {
      if (one.type === FrameType.hello) {
        const hello = JSON.parse(Buffer.from(one.payload).toString()) as Hello;
        await pair.receiver.send(
          jsonFrame(FrameType.welcome, {
            protocolVersion,
            sessionId: hello.sessionId,
            generation: 1,
            windowBytes: 64 << 20,
            bytesPerSecondMax: 200_000,
            disks: [{ diskId, state: 'in-sync' }],
          }),
        );
      }
      if (one.type !== FrameType.data) continue;
      arrived.push(timeline.nowMilliseconds);
      await pair.receiver.send(frame(FrameType.ack, { sequence: one.sequence, generation: 1 }));
    }
  };
  serve().catch(() => {});
  const payload = Buffer.alloc(10_000, 1);
  /** Simulated seconds that so many frames take. */
  const secondsFor = async (session: Session, count: number) => {
    const began = timeline.nowMilliseconds;
    const before = arrived.length;
    for (let n = 0; n < count; n++)
      session
        .data({ diskIndex: 0, offsetBytes: 0, lengthBytes: payload.byteLength }, payload)
        .catch(() => {});
    await timeline.run(began + 600_000, () => arrived.length >= before + count);
    t.is(arrived.length, before + count);
    return (arrived.at(-1)! - began) / 1000;
  };
  let session: Session | undefined;
  const opening = Session.open({
    link: pair.sender,
    hello: helloOf(1),
    clock,
    listener,
    bytesPerSecondMax: 100_000,
  }).then((opened) => {
    session = opened;
  });
  await timeline.run(60_000, () => session !== undefined);
  await opening;
  t.teardown(() => session?.close());
  // 1 MB each; a quarter of a second of burst may go at once, and one frame may overdraw.
  const own = await secondsFor(session!, 100);
  t.true(own >= 9.4 && own < 11, `its own limit is the lower one: ${own} s`);
  session!.throttle(50_000);
  const ordered = await secondsFor(session!, 100);
  t.true(ordered >= 19 && ordered < 22, `an order lowers it: ${ordered} s`);
  session!.throttle(undefined);
  const lifted = await secondsFor(session!, 100);
  t.true(lifted >= 9.4 && lifted < 11, `lifting an order leaves its own: ${lifted} s`);
});
