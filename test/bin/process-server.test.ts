/**
 * Goal: the real process, killed with kill -9 again and again, loses nothing that it acknowledged.
 * Method: real TLS on 127.0.0.1, real certificates, a scripted sender; images at every bookmark are compared.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import { tryRun } from '../../src/platform/exec.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../../src/platform/tls.ts';
import { FolderStore } from '../../src/protocol/cache/folder-store.ts';
import { dialLink } from '../../src/protocol/replication/tls-link.ts';
import { replay, ScriptedSender } from '../support/scripted-sender.ts';
import { freePort } from '../support/site.ts';

const program = new URL('../../src/bin/process-server.ts', import.meta.url).pathname;

test('what is misspelt is refused in words, and starts nothing', async (t) => {
  for (const [expected, ...args] of [
    [/there is no frob/, 'frob'],
    [/Unknown option '--bogus'/, '--bogus'],
    [/--key-file names/, 'enrol'],
    [/--spool-gib takes a number/, 'enrol', '--key-file', 'x', '--spool-gib', 'much'],
    [/nowhere cannot be read/, 'enrol', '--key-file', '/nowhere'],
  ] as const) {
    const said = await tryRun(process.execPath, [program, ...(args as string[])], {
      timeoutMilliseconds: 60_000,
    });
    t.is(said.exitCode, 1, args.join(' '));
    t.regex(said.stderr, expected);
    t.notRegex(said.stderr, /^\s+at /m);
  }
});

test('killed at any moment, it goes on with every bookmark byte for byte; strangers stay out', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-ps-bin-'));
  let child: ChildProcess | undefined;
  t.teardown(async () => {
    child?.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  const sender = new ScriptedSender([4 << 20, 1 << 20]);
  const authority = await issueAuthority(join(folder, 'ca'));
  const issue = (name: string, usage: 'server' | 'client') =>
    issueCertificate({
      folder: join(folder, name.replace('/', '-')),
      authority,
      commonName: name,
      hosts: usage === 'server' ? ['127.0.0.1'] : [],
      days: 2,
      usage,
    });
  const serverFiles = await issue('process-server/test', 'server');
  const clientFiles = await issue(sender.itemId, 'client');
  const strangerFiles = await issue('stranger', 'client');
  const [port, statusPort] = [await freePort(), await freePort()];
  const settingsPath = join(folder, 'settings.json');
  await mkdir(join(folder, 'items'));
  await writeFile(join(folder, 'item.key'), sender.itemKey);
  await writeFile(
    settingsPath,
    JSON.stringify({
      listen: { host: '127.0.0.1', port },
      statusPort,
      tls: serverFiles,
      spool: { folder: join(folder, 'spool'), quotaBytes: 1 << 30 },
      cache: { type: 'folder', folder: join(folder, 'cache') },
      itemsFolder: join(folder, 'items'),
      codecWorkers: 1,
      partSeconds: 0.2,
      logLevel: 'error',
    }),
  );
  await writeFile(
    join(folder, 'items', `${sender.itemId}.json`),
    JSON.stringify({
      itemId: sender.itemId,
      name: 'machine',
      itemKeyFile: join(folder, 'item.key'),
      disks: sender.diskIds.map((diskId) => ({ diskId })),
    }),
  );
  const start = () => {
    child = spawn(process.execPath, [program, '--settings', settingsPath], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  };
  const exited = (process: ChildProcess) =>
    process.exitCode !== null || process.signalCode !== null
      ? Promise.resolve()
      : new Promise<void>((resolve) => process.once('exit', () => resolve()));
  const dial = async (files = clientFiles) => {
    const { ca, cert, key } = await tlsOptions(files);
    return await dialLink({
      host: '127.0.0.1',
      port,
      tls: { ca: String(ca), cert: String(cert), key: String(key) },
      accepts: (name) => name.startsWith('process-server/'),
      clock: systemClock,
    });
  };
  const connect = () =>
    until(
      systemClock,
      60_000,
      async () => {
        try {
          await sender.connect(await dial());
          return true;
        } catch {
          return undefined;
        }
      },
      () => new Error('never welcomed'),
    );
  const rounds = 8;
  let sent = 0;
  start();
  for (let round = 0; round < rounds; round++) {
    await connect();
    try {
      if (round < rounds - 1) {
        const killed = child!;
        void systemClock.sleep(20 + round * 60).then(() => killed.kill('SIGKILL'));
      }
      await sender.synchronize();
      for (let n = 0; n < 6; n++) {
        sender.write(30);
        await sender.bookmark();
        sent++;
        await sender.acknowledged();
      }
      if (round < rounds - 1) await sender.until(() => false);
    } catch (error) {
      if (round === rounds - 1) throw error;
      await exited(child!);
      await sender.disconnect();
      start();
    }
  }
  t.true(sent >= 6);
  await t.throwsAsync(new ScriptedSender([1 << 20]).connect(await dial(strangerFiles)), {
    code: 'WrongCertificate',
  } as never);
  const status = async () =>
    JSON.parse(
      (
        await tryRun(process.execPath, [program, 'status', '--settings', settingsPath], {
          timeoutMilliseconds: 60_000,
        })
      ).stdout,
    ) as {
      items: { backlogBytes: number; lastBookmark: string | null }[];
    };
  await until(
    systemClock,
    60_000,
    async () => ((await status()).items[0]?.backlogBytes === 0 ? true : undefined),
    () => new Error('not drained'),
    200,
  );
  t.truthy((await status()).items[0]?.lastBookmark);
  child!.kill('SIGTERM');
  await exited(child!);
  t.is(child!.exitCode, 0);
  const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: join(folder, 'cache') });
  const replayed = await replay(sender, store);
  t.true(replayed.bookmarks.length >= 6);
  t.true(replayed.images.every((image, index) => image.equals(sender.images[index]!)));
});
