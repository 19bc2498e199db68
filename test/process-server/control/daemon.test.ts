/**
 * Goal: the daemon takes machines on and lets them go while it runs, and puts to the cloud what its settings name.
 * Method: the real daemon in this process and the real program, real TLS on 127.0.0.1, Azurite in place of Azure.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run } from '../../../src/platform/exec.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import {
  type Authority,
  issueAuthority,
  issueCertificate,
  type TlsFilePaths,
  tlsOptions,
} from '../../../src/platform/tls.ts';
import { startDaemon } from '../../../src/process-server/control/daemon.ts';
import { openStore } from '../../../src/process-server/outlet/open-store.ts';
import { FolderStore } from '../../../src/protocol/cache/folder-store.ts';
import { ProcessServerSettings } from '../../../src/protocol/control/process-server-settings.ts';
import { dialLink } from '../../../src/protocol/replication/tls-link.ts';
import { startAzurite } from '../../support/azurite.ts';
import { replay, ScriptedSender } from '../../support/scripted-sender.ts';
import { freePort } from '../../support/site.ts';

const program = new URL('../../../src/bin/process-server.ts', import.meta.url).pathname;
const MiB = 1 << 20;

interface Running {
  readonly folder: string;
  readonly child: ChildProcess;
  readonly settings: ProcessServerSettings;
  readonly authority: Authority;
  assign(sender: ScriptedSender): Promise<void>;
  /** `files`: of its certificate; made when not given. */
  connect(sender: ScriptedSender, files?: TlsFilePaths): Promise<void>;
  status(): Promise<{ items: { itemId: string; backlogBytes: number; lastBookmark: string | null }[] }>;
}

interface Prepared {
  readonly folder: string;
  readonly settings: ProcessServerSettings;
  readonly authority: Authority;
}

async function prepare(
  t: ExecutionContext,
  cache: (folder: string) => Promise<object>,
  other: object = {},
): Promise<Prepared> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-ps-daemon-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const authority = await issueAuthority(join(folder, 'ca'));
  const tls = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'process-server/test',
    hosts: ['127.0.0.1'],
    days: 2,
    usage: 'server',
  });
  await mkdir(join(folder, 'items'));
  const settings = ProcessServerSettings.parse({
    listen: { host: '127.0.0.1', port: await freePort() },
    statusPort: await freePort(),
    tls,
    spool: { folder: join(folder, 'spool'), quotaBytes: 2 ** 31 },
    cache: await cache(folder),
    itemsFolder: join(folder, 'items'),
    codecWorkers: 1,
    partSeconds: 0.2,
    logLevel: 'error',
    ...other,
  });
  return { folder, settings, authority };
}

/** As whoever writes assignments by hand. */
async function assignIn({ folder }: Pick<Prepared, 'folder'>, sender: ScriptedSender): Promise<void> {
  const keyFile = join(folder, `${sender.itemId}.key`);
  await writeFile(keyFile, sender.itemKey);
  await writeFile(
    join(folder, 'items', `${sender.itemId}.json`),
    JSON.stringify({
      itemId: sender.itemId,
      name: 'machine',
      itemKeyFile: keyFile,
      disks: sender.diskIds.map((diskId) => ({ diskId })),
    }),
  );
}

async function start(
  t: ExecutionContext,
  cache: (folder: string) => Promise<object>,
  other: object = {},
): Promise<Running> {
  const { folder, settings, authority } = await prepare(t, cache, other);
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings));
  const child = spawn(process.execPath, [program, '--settings', join(folder, 'settings.json')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const status = async () =>
    (await (await fetch(`http://127.0.0.1:${settings.statusPort}/status`)).json()) as Awaited<
      ReturnType<Running['status']>
    >;
  await until(
    systemClock,
    30_000,
    () => status().catch(() => undefined),
    () => new Error('the process server does not answer'),
  );
  return {
    folder,
    child,
    settings,
    authority,
    status,
    assign: (sender) => assignIn({ folder }, sender),
    connect: async (sender, given) => {
      const files =
        given ??
        (await issueCertificate({
          folder: join(folder, sender.itemId),
          authority,
          commonName: sender.itemId,
          hosts: [],
          days: 2,
          usage: 'client',
        }));
      const { ca, cert, key } = await tlsOptions(files);
      const link = await dialLink({
        host: '127.0.0.1',
        port: settings.listen.port,
        tls: { ca: String(ca), cert: String(cert), key: String(key) },
        accepts: (name) => name === 'process-server/test',
        clock: systemClock,
      });
      await sender.connect(link);
    },
  };
}

const folderCache = async (folder: string) => ({ type: 'folder', folder: join(folder, 'cache') });

async function drained(running: Running, count: number): Promise<void> {
  await until(
    systemClock,
    60_000,
    async () => {
      const { items } = await running.status();
      return items.length === count && items.every(({ backlogBytes }) => backlogBytes === 0)
        ? true
        : undefined;
    },
    () => new Error('not drained'),
    200,
  );
}

async function served(running: Running, sender: ScriptedSender): Promise<void> {
  await until(
    systemClock,
    60_000,
    async () =>
      (await running.status()).items.some(({ itemId }) => itemId === sender.itemId) ? true : undefined,
    () => new Error('the item is not taken on'),
  );
}

test('an item that is added while it runs is served, a bad file stops nobody, a removed one is let go', async (t) => {
  const running = await start(t, folderCache);
  const [first, second] = [new ScriptedSender([MiB]), new ScriptedSender([MiB])];
  await running.assign(first);
  await served(running, first);
  await running.connect(first);
  await first.synchronize();
  // Written half by somebody's editor.
  await writeFile(join(running.folder, 'items', 'broken.json'), '{"itemId":');
  await running.assign(second);
  running.child.kill('SIGHUP');
  await served(running, second);
  await running.connect(second);
  await second.synchronize();
  for (const sender of [first, second]) {
    sender.write(10);
    await sender.bookmark();
    await sender.acknowledged();
  }
  await drained(running, 2);
  const store = new FolderStore({
    files: systemFiles,
    random: systemRandom,
    folder: join(running.folder, 'cache'),
  });
  for (const sender of [first, second]) t.is((await replay(sender, store)).bookmarks.length, 1);
  await rm(join(running.folder, 'items', `${second.itemId}.json`));
  await t.throwsAsync(second.until(() => false));
  await until(
    systemClock,
    60_000,
    async () => ((await running.status()).items.length === 1 ? true : undefined),
    () => new Error('it is still served'),
  );
  const metrics = await (await fetch(`http://127.0.0.1:${running.settings.statusPort}/metrics`)).text();
  t.regex(metrics, /^leeward_process_server_sessions 1$/m);
});

test('an item that is added while it starts is served', async (t) => {
  const { folder, settings } = await prepare(t, folderCache);
  const { keyFile } = settings.tls;
  const key = await readFile(keyFile);
  await rm(keyFile);
  // Holds it up between its first reading and its listening.
  await run('mkfifo', [keyFile], { timeoutMilliseconds: 30_000 });
  const starting = startDaemon(settings, await openStore(settings.cache));
  const pipe = await open(keyFile, 'w');
  const sender = new ScriptedSender([MiB]);
  await assignIn({ folder }, sender);
  await pipe.writeFile(key);
  await pipe.close();
  await using daemon = await starting;
  // Well before the reading that comes every minute anyway.
  await until(
    systemClock,
    40_000,
    () => (daemon.server.item(sender.itemId) ? true : undefined),
    () => new Error('the item is not taken on'),
  );
  t.deepEqual(daemon.server.itemIds, [sender.itemId]);
});

test('a reload that is asked for while it starts does not end it', async (t) => {
  const { folder, settings } = await prepare(t, folderCache);
  const { keyFile } = settings.tls;
  const key = await readFile(keyFile);
  await rm(keyFile);
  await run('mkfifo', [keyFile], { timeoutMilliseconds: 30_000 });
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings));
  const child = spawn(process.execPath, [program, '--settings', join(folder, 'settings.json')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const pipe = await open(keyFile, 'w');
  child.kill('SIGHUP');
  await pipe.writeFile(key);
  await pipe.close();
  await until(
    systemClock,
    60_000,
    async () => {
      if (child.signalCode !== null) throw new Error(`it died of ${child.signalCode}`);
      const answer = await fetch(`http://127.0.0.1:${settings.statusPort}/status`).catch(() => undefined);
      return answer?.ok || undefined;
    },
    () => new Error('the process server does not answer'),
  );
  child.kill('SIGTERM');
  t.deepEqual(await exited, [0, null]);
});

test('one that cannot listen lets everything go', async (t) => {
  const { folder, settings } = await prepare(t, folderCache);
  await assignIn({ folder }, new ScriptedSender([MiB]));
  const other = createServer();
  other.listen(settings.statusPort, '127.0.0.1');
  await once(other, 'listening');
  const store = await openStore(settings.cache);
  await t.throwsAsync(startDaemon(settings, store), { code: 'EADDRINUSE' });
  await new Promise((resolve) => other.close(resolve));
  await using daemon = await startDaemon(settings, store);
  t.is(daemon.statusPort, settings.statusPort);
});

test('what the settings call azure-blob is put to Azure Blob Storage, and read back from there', async (t) => {
  const azurite = await startAzurite();
  t.teardown(() => azurite.close());
  const running = await start(t, async (folder) => {
    await azurite.makeContainer('cache');
    await writeFile(join(folder, 'connection'), `${azurite.connectionString}\n`, { mode: 0o600 });
    return { type: 'azure-blob', connectionStringFile: join(folder, 'connection'), container: 'cache' };
  });
  const sender = new ScriptedSender([2 * MiB, MiB]);
  sender.write(60);
  await running.assign(sender);
  await served(running, sender);
  await running.connect(sender);
  await sender.synchronize();
  for (let n = 0; n < 3; n++) {
    sender.write(30);
    await sender.bookmark();
  }
  await sender.acknowledged();
  await drained(running, 1);
  const replayed = await replay(sender, await openStore(running.settings.cache));
  t.is(replayed.bookmarks.length, 3);
  t.true(replayed.images.every((image, index) => image.equals(sender.images[index]!)));
});

test('two hundred machines at once stay below 1 GiB of memory', async (t) => {
  const machines = 200;
  const running = await start(t, folderCache);
  const noise = systemRandom.bytes(2 * MiB);
  const senders = Array.from({ length: machines }, () => {
    const sender = new ScriptedSender([4096]);
    // One content for all: this side's memory is not what is measured.
    sender.images[0] = noise;
    return sender;
  });
  for (const sender of senders) await running.assign(sender);
  await until(
    systemClock,
    120_000,
    async () => ((await running.status()).items.length === machines ? true : undefined),
    () => new Error('not all are taken on'),
  );
  // One key for all and one shell: 200 certificates one by one take longer than everything else here.
  const { caFile, caKeyFile } = running.authority;
  const [first] = senders;
  const { keyFile } = await issueCertificate({
    folder: join(running.folder, 'first'),
    authority: running.authority,
    commonName: first!.itemId,
    hosts: [],
    days: 2,
    usage: 'client',
  });
  const certificateOf = (sender: ScriptedSender) => join(running.folder, `${sender.itemId}.pem`);
  await run(
    'bash',
    [
      '-euc',
      `for id in ${senders.map(({ itemId }) => itemId).join(' ')}; do
         openssl req -x509 -new -sha256 -days 2 -CA ${caFile} -CAkey ${caKeyFile} -key ${keyFile} -subj /CN=$id \
           -addext extendedKeyUsage=clientAuth -addext basicConstraints=critical,CA:FALSE -out ${running.folder}/$id.pem
       done`,
    ],
    { timeoutMilliseconds: 240_000 },
  );
  for (const sender of senders)
    await running.connect(sender, { caFile, keyFile, certificateFile: certificateOf(sender) });
  // All are connected; now all send at the same time.
  await Promise.all(
    senders.map(async (sender) => {
      await sender.synchronize();
      await sender.acknowledged();
    }),
  );
  const peak = Number(
    /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${running.child.pid}/status`, 'utf8'))![1],
  );
  t.log(`${Math.round(peak / 1024)} MiB at most`);
  t.true(peak * 1024 < 2 ** 30, `${peak} KiB resident at most`);
});
