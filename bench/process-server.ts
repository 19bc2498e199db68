/**
 * How fast the process server takes changes in and has them, compressed and encrypted, in cache storage: real TLS on
 * 127.0.0.1, journal with fsync, two codec workers, a folder as cache storage. Text-like data with a ratio near 2.4.
 *
 *     node bench/process-server.ts [MiB]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, until } from '../src/platform/clock.ts';
import { systemFiles } from '../src/platform/files.ts';
import { systemRandom } from '../src/platform/random.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../src/platform/tls.ts';
import { startDaemon } from '../src/process-server/control/daemon.ts';
import { FolderStore } from '../src/protocol/cache/folder-store.ts';
import { dialLink } from '../src/protocol/replication/tls-link.ts';
import { replay, ScriptedSender } from '../test/support/scripted-sender.ts';

const mebibytes = Number(process.argv[2] ?? 1024);
const folder = await mkdtemp(join(tmpdir(), 'leeward-bench-'));
try {
  const sender = new ScriptedSender([mebibytes << 20]);
  const image = sender.images[0]!;
  // Of every 4 KiB, 1.6 KiB is noise and the rest is text: zstd level 1 gets about 2.4.
  const noise = systemRandom.bytes(1 << 20);
  for (let at = 0; at < image.byteLength; at += 4096) {
    image.fill('the quick brown fox ', at, at + 4096);
    noise.copy(
      image,
      at,
      (at * 7) % (noise.byteLength - 1638),
      ((at * 7) % (noise.byteLength - 1638)) + 1638,
    );
    image.writeUInt32LE(at >>> 2, at);
  }
  const authority = await issueAuthority(join(folder, 'ca'));
  const common = { authority, days: 1 } as const;
  const tls = await issueCertificate({
    ...common,
    folder: join(folder, 'server'),
    commonName: 'process-server/bench',
    hosts: ['127.0.0.1'],
    usage: 'server',
  });
  const client = await issueCertificate({
    ...common,
    folder: join(folder, 'client'),
    commonName: sender.itemId,
    hosts: [],
    usage: 'client',
  });
  const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: join(folder, 'cache') });
  await store.prepare();
  await using daemon = await startDaemon(
    {
      listen: { host: '127.0.0.1', port: 0 },
      statusPort: 0,
      tls,
      spool: { folder: join(folder, 'spool'), quotaBytes: 8 * 2 ** 30 },
      cache: { type: 'folder', folder: join(folder, 'cache') },
      itemsFolder: join(folder, 'items'),
      codecWorkers: 2,
      partSeconds: 5,
      logLevel: 'error',
    },
    store,
  );
  await daemon.server.assign(
    {
      itemId: sender.itemId,
      name: 'bench',
      itemKeyFile: '/unused',
      disks: sender.diskIds.map((diskId) => ({ diskId })),
    },
    sender.itemKey,
  );
  const { ca, cert, key } = await tlsOptions(client);
  const link = await dialLink({
    host: '127.0.0.1',
    port: daemon.port,
    tls: { ca: String(ca), cert: String(cert), key: String(key) },
    accepts: () => true,
    clock: systemClock,
  });
  await sender.connect(link);
  const began = systemClock.monotonic();
  const cpu = process.cpuUsage();
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  const durable = systemClock.monotonic() - began;
  await until(
    systemClock,
    600_000,
    () => daemon.server.item(sender.itemId)?.isDrained || undefined,
    () => new Error('not drained'),
    5,
  );
  const cached = systemClock.monotonic() - began;
  const used = process.cpuUsage(cpu);
  const peak = process.resourceUsage().maxRSS / 1024 - mebibytes;
  const replayed = await replay(sender, store);
  const objectBytes = replayed.manifests
    .flatMap((m) => m.segments)
    .reduce((sum, s) => sum + s.objectBytes, 0);
  const megabytes = image.byteLength / 1e6;
  console.log(
    JSON.stringify({
      megabytes,
      ratio: image.byteLength / objectBytes,
      acknowledgedMBs: megabytes / (durable / 1000),
      inCacheMBs: megabytes / (cached / 1000),
      cpuSeconds: (used.user + used.system) / 1e6,
      peakMiBWithoutImage: peak,
      verified: replayed.bookmarks.length === 1 && replayed.images[0]!.equals(image),
    }),
  );
  await sender.disconnect();
} finally {
  await rm(folder, { recursive: true, force: true });
}
