// Goal: both ends of the TLS link carry frames unharmed, and every way to lose a connection has its own error.
// Method: real TLS on 127.0.0.1 with certificates that openssl makes for this test.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import test from 'ava';
import { systemClock } from '../../../src/platform/clock.ts';
import { type Frame, FrameType, frame } from '../../../src/protocol/replication/frame.ts';
import type { Link } from '../../../src/protocol/replication/link.ts';
import { acceptLink, dialLink, type LinkTimes } from '../../../src/protocol/replication/tls-link.ts';
import { freePort } from '../../support/site.ts';
import { testCertificates } from '../../support/test-certificates.ts';

const certificates = await testCertificates(['process-server/test', 'sender', 'stranger']);
test.after.always(() => certificates.remove());

async function pair(times?: LinkTimes, accepts = (name: string) => name.startsWith('process-server/')) {
  const server = createServer({
    ...certificates.of('process-server/test'),
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  accepted.catch(() => {});
  const dialled = dialLink({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    tls: certificates.of('sender'),
    accepts,
    clock: systemClock,
    ...(times ? { times } : {}),
  });
  const close = () => server.close();
  try {
    const sender = await dialled;
    const [socket] = await accepted;
    return { sender, receiver: acceptLink(socket, systemClock, times), socket, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function collect(link: Link, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const one of link.frames()) {
    frames.push({ ...one, payload: Buffer.from(one.payload) });
    if (frames.length === count) break;
  }
  return frames;
}

test('frames of every size arrive in order and unharmed, and names are those of the certificates', async (t) => {
  const { sender, receiver, close } = await pair();
  t.is(sender.peerName, 'process-server/test');
  t.is(receiver.peerName, 'sender');
  const sizes = [0, 1, 4096, 65_536, 65_537, 1 << 20, 0, 12_288];
  const payloads = sizes.map((size, index) => Buffer.alloc(size, index + 1));
  const arrived = collect(receiver, sizes.length);
  for (const [index, payload] of payloads.entries())
    void sender.send(
      frame(payload.length ? FrameType.data : FrameType.zero, {
        sequence: index + 1,
        payload,
        lengthBytes: payload.length || 4096,
      }),
    );
  const frames = await arrived;
  t.deepEqual(
    frames.map((one) => one.sequence),
    sizes.map((_, index) => index + 1),
  );
  for (const [index, one] of frames.entries()) t.true(Buffer.from(one.payload).equals(payloads[index]!));
  sender.close();
  receiver.close();
  close();
});

test('the last frame before a close arrives although the other side is in the middle of sending', async (t) => {
  const { sender, receiver, close } = await pair();
  const payload = Buffer.alloc(1 << 20, 7);
  let isOver = false;
  const flood = (async () => {
    while (!isOver) await sender.send(frame(FrameType.data, { payload, lengthBytes: payload.length }));
  })().catch(() => {});
  await collect(receiver, 1);
  await receiver.send(frame(FrameType.fenced));
  receiver.close();
  const [last] = await collect(sender, 1);
  t.is(last?.type, FrameType.fenced);
  isOver = true;
  sender.close();
  await flood;
  close();
});

test('a cut inside a frame is a broken link, a close between frames is an end', async (t) => {
  const first = await pair();
  first.socket.write(Buffer.alloc(10));
  first.socket.destroySoon();
  await t.throwsAsync(collect(first.sender, 1), { code: 'LinkBroken' });
  first.close();

  const second = await pair();
  second.receiver.close();
  t.deepEqual(await collect(second.sender, 1), []);
  await t.throwsAsync(second.sender.send(frame(FrameType.heartbeat)), { code: 'LinkBroken' });
  second.close();
});

test('bytes that are no frame end the link with CorruptFrame', async (t) => {
  const { sender, socket, close } = await pair();
  socket.write(Buffer.alloc(64, 0x55));
  await t.throwsAsync(collect(sender, 1), { code: 'CorruptFrame' });
  close();
});

test('heartbeats keep an idle link alive and are never seen; a silent peer is hung up on', async (t) => {
  const times = { heartbeatMilliseconds: 50, silenceMillisecondsMax: 1500 };
  const { sender, receiver, close } = await pair(times);
  const fromSender = collect(sender, 1);
  const fromReceiver = collect(receiver, 1);
  await systemClock.sleep(2000);
  await receiver.send(frame(FrameType.ack, { sequence: 3 }));
  t.is((await fromSender)[0]?.sequence, 3);
  await sender.send(frame(FrameType.zero, { lengthBytes: 4096 }));
  t.is((await fromReceiver)[0]?.type, FrameType.zero);
  sender.close();
  receiver.close();
  close();

  const mute = await pair({ heartbeatMilliseconds: 60_000, silenceMillisecondsMax: 200 });
  void mute.receiver;
  const quick = await pair({ heartbeatMilliseconds: 40, silenceMillisecondsMax: 100 });
  // The far side stops altogether: its link object is there, but its socket no longer sends.
  quick.receiver.send = () => Promise.resolve();
  quick.socket.write = (() => true) as never;
  await t.throwsAsync(collect(quick.sender, 1), { code: 'LinkSilent' });
  for (const one of [mute, quick]) {
    one.sender.close();
    one.receiver.close(new Error('over'));
    one.close();
  }
});

test('a process that stood still for longer than the silence allowed hears what was sent meanwhile', async (t) => {
  const { sender, receiver, close } = await pair({ heartbeatMilliseconds: 50, silenceMillisecondsMax: 300 });
  const fromSender = collect(sender, 1);
  const fromReceiver = collect(receiver, 1);
  // Both wait for each other; then nothing here runs, as in a machine that is suspended.
  await systemClock.sleep(10);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  await systemClock.sleep(10);
  await receiver.send(frame(FrameType.ack, { sequence: 3 }));
  t.is((await fromSender)[0]?.sequence, 3);
  await sender.send(frame(FrameType.zero, { lengthBytes: 4096 }));
  t.is((await fromReceiver)[0]?.type, FrameType.zero);
  sender.close();
  receiver.close();
  close();
});

test('a peer with the wrong name or from another authority is not trusted, a closed port is transient', async (t) => {
  await t.throwsAsync(
    pair(undefined, (name) => name === 'somebody-else'),
    { code: 'PeerNotTrusted', message: /process-server\/test/ },
  );
  const others = await testCertificates(['process-server/test']);
  const server = createServer({ ...others.of('process-server/test') });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const dial = (port: number) =>
    dialLink({
      host: '127.0.0.1',
      port,
      tls: certificates.of('sender'),
      accepts: () => true,
      clock: systemClock,
    });
  await t.throwsAsync(dial((server.address() as AddressInfo).port), { code: 'PeerNotTrusted' });
  server.close();
  await others.remove();
  // One that nobody else takes meanwhile.
  const closed = await freePort();
  const error = await t.throwsAsync<Error & { retry: string }>(dial(closed), { code: 'LinkBroken' } as never);
  t.is(error?.retry, 'transient');
});
