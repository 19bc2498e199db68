/**
 * Goal: the copy of a mobility service in a machine that a failover made keeps quiet; nobody who only attaches a disk can make
 * the original do so. Method: the service as it is, with a real disk to replicate and a receiver to replicate to; the marker on a
 * block device of 1 MiB that is shown to it as a hypervisor's disk.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { findMarkers, runUnlessCopy } from '../../../src/mobility-service/control/marker.ts';
import { readStatus, runService } from '../../../src/mobility-service/control/service.ts';
import { statusText } from '../../../src/mobility-service/control/status-text.ts';
import { ProtectedItemId } from '../../../src/model/ids.ts';
import { type Clock, systemClock, until } from '../../../src/platform/clock.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import {
  encodeMarker,
  FailoverMarker,
  markerDisk,
  markerPublicKey,
} from '../../../src/protocol/control/failover-marker.ts';
import { serveLinks } from '../../support/link-server.ts';
import { canLoop, canTrace, makeFileSystem, makeLoop } from '../../support/loop-device.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';
import { testCertificates } from '../../support/test-certificates.ts';

const missing = canLoop() ?? canTrace();
const able = missing === undefined ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const timeoutMilliseconds = 90_000;
const itemKey = Buffer.alloc(32, 1);

async function folderOf(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-marker-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Roots that show one disk of the size of a marker. */
async function roots(folder: string) {
  const found = { sys: join(folder, 'sys'), dev: join(folder, 'dev') };
  await mkdir(join(found.sys, 'vdb'), { recursive: true });
  await mkdir(found.dev);
  await writeFile(join(found.sys, 'vdb', 'size'), '2048\n');
  return found;
}

const markerOf = (itemId: string, machineId = crypto.randomUUID() as string): FailoverMarker =>
  FailoverMarker.parse({
    ...{
      format: 'leeward-failover-marker/1',
      itemId,
      machineId,
      failoverId: crypto.randomUUID(),
      kind: 'test',
    },
    writtenAt: '2026-01-01T00:00:00.000Z',
  });

async function service(t: ExecutionContext, markerFor: (itemId: string) => Buffer) {
  const folder = await folderOf(t);
  const itemId = ProtectedItemId.parse(crypto.randomUUID());
  const instance = `/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`;
  t.teardown(() => tryRun('rmdir', [instance], { timeoutMilliseconds }));
  const device = await makeLoop(t, 48 << 20);
  const mounted = await makeFileSystem(t, device, 'ext4');
  const certificates = await testCertificates(['process-server/test', itemId]);
  t.teardown(() => certificates.remove());
  const receiver = new ReferenceReceiver(8 << 20);
  let links = 0;
  const port = await serveLinks(t, certificates, (link) => {
    links += 1;
    return receiver.serve(link);
  });
  await writeFile(
    join(folder, 'assignment.json'),
    JSON.stringify({
      ...{ itemId, name: 'test', processServer: { host: '127.0.0.1', port } },
      tls: certificates.filesOf(itemId),
      disks: [{ diskId: crypto.randomUUID(), path: device.path }],
      policy: { crashConsistentSeconds: 1, applicationConsistentSeconds: 0, freezeMillisecondsMax: 1000 },
      markerKey: markerPublicKey(itemKey),
    }),
  );
  const diskRoots = await roots(folder);
  const marker = await makeLoop(t, 1 << 20);
  await run('dd', [`of=${marker.path}`, 'bs=1M', 'conv=fsync', 'status=none'], {
    timeoutMilliseconds,
    input: markerDisk(markerFor(itemId)),
  });
  await symlink(marker.path, join(diskRoots.dev, 'vdb'));
  const folders = {
    ...{ settings: folder, state: join(folder, 'state'), runtime: join(folder, 'run') },
    ...{ thawHelper: undefined, diskRoots },
  };
  const stop = new AbortController();
  const running = runService(folders, silentLog, stop.signal);
  running.catch(() => {});
  t.teardown(async () => {
    stop.abort();
    await running;
  });
  const isTraced = () => existsSync(instance);
  return { folders, receiver, mounted, itemId, isTraced, links: () => links, stop, running };
}

able('a copy with its own marker speaks to nobody, captures nothing and says what it is', async (t) => {
  const s = await service(t, (itemId) => encodeMarker(markerOf(itemId), itemKey));
  const status = await until(
    systemClock,
    90_000,
    () => readStatus(s.folders).catch(() => undefined),
    () => new Error('it says nothing'),
  );
  t.is(status.copy?.itemId, s.itemId);
  t.regex(statusText(status, systemClock.now()), /this machine is a copy that a test failover made/);
  await writeFile(join(s.mounted.mountPoint, 'file'), 'written by the copy');
  s.stop.abort();
  await s.running;
  t.is(s.links(), 0);
  t.false(s.isTraced());
  t.false(existsSync(s.folders.state), 'nothing of its state was touched');
});

for (const [title, markerFor] of [
  ['signed by somebody else', (itemId: string) => encodeMarker(markerOf(itemId), Buffer.alloc(32, 2))],
  ['of another item', () => encodeMarker(markerOf(crypto.randomUUID()), itemKey)],
  [
    'that was altered',
    (itemId: string) => {
      const head = encodeMarker(markerOf(itemId), itemKey);
      head[600]! ^= 1;
      return head;
    },
  ],
] as const)
  able(`a marker ${title} is an event and stops nothing`, async (t) => {
    const s = await service(t, markerFor);
    await until(
      systemClock,
      90_000,
      () => (s.receiver.points.length > 0 && s.receiver.health.length > 0 ? true : undefined),
      () => new Error('no point, or no event'),
    );
    t.true(s.receiver.health.some(({ code }) => code === 'MarkerNotOwn'));
    t.is((await readStatus(s.folders)).copy, undefined);
  });

anyTest(
  'a marker of another machine of the item, or without a key to know it by, does not count',
  async (t) => {
    const folder = await folderOf(t);
    const where = await roots(folder);
    const marker = markerOf(crypto.randomUUID());
    await writeFile(join(where.dev, 'vdb'), markerDisk(encodeMarker(marker, itemKey)));
    const as = { itemId: marker.itemId, markerKey: markerPublicKey(itemKey), machineId: marker.machineId };
    t.deepEqual((await findMarkers(as, where)).own, marker);
    t.deepEqual((await findMarkers({ ...as, machineId: undefined }, where)).own, marker);
    for (const other of [
      { ...as, machineId: crypto.randomUUID() },
      { ...as, markerKey: undefined },
      undefined,
    ]) {
      const { own, others } = await findMarkers(other, where);
      t.is(own, undefined);
      t.deepEqual(
        others.map(({ code }) => code),
        ['MarkerNotOwn'],
      );
    }
    // A data disk of that size that happens to be there.
    await writeFile(join(where.dev, 'vdb'), Buffer.alloc(1 << 20));
    t.deepEqual(await findMarkers(as, where), { own: undefined, others: [] });
  },
);

anyTest(
  'a marker that shows up later ends what runs, and one that goes away lets nothing begin',
  async (t) => {
    const folder = await folderOf(t);
    const where = await roots(folder);
    const marker = markerOf(crypto.randomUUID());
    const as = { itemId: marker.itemId, markerKey: markerPublicKey(itemKey) };
    // Each minute passes when the test says so.
    const minutes: (() => void)[] = [];
    const clock: Clock = {
      ...systemClock,
      sleep: (_, signal) =>
        new Promise((resolve, reject) => {
          minutes.push(resolve);
          signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
        }),
    };
    const minute = async () => {
      await until(
        systemClock,
        30_000,
        () => minutes.length > 0 || undefined,
        () => new Error('nobody waits'),
      );
      minutes.pop()!();
    };
    const stop = new AbortController();
    let runs = 0;
    let ended = 0;
    const told: string[] = [];
    const running = runUnlessCopy(
      {
        ...{ clock, log: silentLog, roots: where },
        as: async () => as,
        tell: async ({ failoverId }) => void told.push(failoverId),
      },
      stop.signal,
      async (over) => {
        runs += 1;
        await new Promise((resolve) => over.addEventListener('abort', resolve, { once: true }));
        ended += 1;
      },
    );
    await minute();
    t.deepEqual([runs, ended, told.length], [1, 0, 0]);
    await writeFile(join(where.dev, 'vdb'), markerDisk(encodeMarker(marker, itemKey)));
    await minute();
    await until(
      systemClock,
      30_000,
      () => told.length === 1 || undefined,
      () => new Error('it goes on'),
    );
    t.deepEqual([runs, ended], [1, 1]);
    await rm(join(where.dev, 'vdb'));
    await minute();
    await until(
      systemClock,
      30_000,
      () => told.length === 2 || undefined,
      () => new Error('it does not wait'),
    );
    t.deepEqual([runs, ended], [1, 1]);
    stop.abort();
    await running;
  },
);
