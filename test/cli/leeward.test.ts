/**
 * Goal: what a person types does what it says, and what goes wrong is said with what to do about it.
 * Method: the real `leeward` against a real vault process with its own database and volume; nothing is protected for real.
 */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { z } from 'zod';
import { tryRun } from '../../src/platform/exec.ts';
import { readSettings } from '../../src/platform/settings.ts';
import { MobilityAssignment, ProcessServerAssignment } from '../../src/protocol/control/assignment.ts';
import { ProcessServerSettings } from '../../src/protocol/control/process-server-settings.ts';
import {
  EventView,
  ItemView,
  PointView,
  ProcessServerView,
  VerifyView,
} from '../../src/protocol/control/vault-admin.ts';
import { canMakeVolumes } from '../../src/vault/replica/volume.ts';
import { Daemon, eventually, freePort } from '../support/site.ts';

const able = await canMakeVolumes();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const root = join(import.meta.dirname, '../..');
let folder: string;
let data: string;
let vault: Daemon;

interface Said {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function leeward(...args: string[]): Promise<Said> {
  return tryRun(process.execPath, [join(root, 'src/bin/leeward.ts'), '--data', data, ...args], {
    timeoutMilliseconds: 60_000,
  });
}

async function json<T extends z.ZodType>(schema: T, ...args: string[]): Promise<z.infer<T>> {
  const said = await leeward('--output', 'json', ...args);
  if (said.exitCode !== 0) throw new Error(said.stderr);
  return schema.parse(JSON.parse(said.stdout));
}

anyTest.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-cli-'));
  data = join(folder, 'vault');
  vault = new Daemon('vault', folder, ['src/bin/leeward.ts', '--data', data, 'vault', 'run']);
});
anyTest.after.always(async () => {
  await vault.kill('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

test('without a vault every command says that none is there and how to start one', async (t) => {
  for (const args of [
    ['items'],
    ['item', 'web'],
    ['verify'],
    ['resync', 'web'],
    ['process-server', 'list'],
  ]) {
    const said = await leeward(...args);
    t.is(said.exitCode, 1, args.join(' '));
    t.is(said.stdout, '');
    t.regex(said.stderr, /no vault answers at .*admin\.sock/);
    t.regex(said.stderr, /leeward vault run/);
  }
});

test('wrong usage is said at once', async (t) => {
  for (const [args, text] of [
    [['protect', 'web'], /--disk/],
    [['protect', 'no good', '--disk', '/dev/vda', '--process-server', 'x', '--out', '/x'], /letters, digits/],
    [['frobnicate'], /unknown command/],
    [['--output', 'xml', 'items'], /Allowed choices are table, json/],
    [['unprotect', 'web'], /--yes/],
  ] as const) {
    const said = await leeward(...args);
    t.is(said.exitCode, 1, args.join(' '));
    t.regex(said.stderr, text);
  }
});

test('vault init makes a folder, refuses to make it twice, and run serves it', async (t) => {
  const port = String(await freePort());
  const made = await leeward('vault', 'init', '--make-volume', '1', '--port', port, '--api-port', '0');
  t.is(made.exitCode, 0, made.stderr);
  t.regex(made.stdout, /vault run/);
  const again = await leeward('vault', 'init', '--port', port);
  t.is(again.exitCode, 1);
  t.regex(again.stderr, /already holds a vault/);
  vault.start();
  await eventually('the vault answers', 60, async () =>
    (await leeward('items')).exitCode === 0 ? true : undefined,
  );
  t.is((await stat(join(data, 'admin.sock'))).mode & 0o077, 0, 'nobody else may ask');
  const items = await leeward('items');
  t.regex(items.stdout, /nothing is protected yet/);
  t.regex(items.stdout, /next: node src\/bin\/leeward\.ts .*protect/);
  t.deepEqual(await json(z.array(ItemView), 'items'), []);
  t.regex((await leeward('process-server', 'list')).stdout, /process-server add/);
  t.regex((await leeward('events')).stdout, /nothing has happened/);
});

test('process-server add writes settings that its process server reads', async (t) => {
  const out = join(folder, 'ps1');
  const said = await leeward(
    ...['process-server', 'add', 'ps1', '--host', '127.0.0.1', '--port', '9555'],
    ...['--out', out, '--installed-at', out, '--spool-gib', '3'],
  );
  t.is(said.exitCode, 0, said.stderr);
  const settings = await readSettings(ProcessServerSettings, join(out, 'process-server.json'));
  t.is(settings.listen.port, 9555);
  t.is(settings.spool.quotaBytes, 3 * 2 ** 30);
  t.is(settings.cache.type, 'vault');
  for (const file of Object.values(settings.tls)) t.true((await stat(file)).isFile());
  t.is((await stat(settings.tls.keyFile)).mode & 0o077, 0);
  t.true((await stat(settings.itemsFolder)).isDirectory());
  const twice = await leeward('process-server', 'add', 'ps1', '--host', 'h', '--out', join(folder, 'other'));
  t.is(twice.exitCode, 1);
  t.regex(twice.stderr, /already registered/);
  const [server] = await json(z.array(ProcessServerView), 'process-server', 'list');
  t.like(server, { name: 'ps1', host: '127.0.0.1', port: 9555, itemCount: 0 });
});

test('protect writes what both ends need; what cannot be protected is refused by name', async (t) => {
  const out = join(folder, 'web');
  const protect = (name: string, ...disks: string[]) =>
    leeward('protect', name, '--disk', ...disks, '--process-server', 'ps1', '--out', out, '--every', '60');
  const unknown = await leeward(
    ...['protect', 'web', '--disk', '/dev/vda', '--process-server', 'ps9', '--out', out],
  );
  t.is(unknown.exitCode, 1);
  t.regex(unknown.stderr, /no process server ps9/);
  t.regex(unknown.stderr, /process-server add NAME/);
  const twice = await protect('web', '/dev/vda', '/dev/vdb', '/dev/vda');
  t.is(twice.exitCode, 1);
  t.regex(twice.stderr, /\/dev\/vda is named twice/);
  const relative = await protect('web', 'vda');
  t.is(relative.exitCode, 1);
  t.regex(relative.stderr, /absolute/);
  const said = await protect('web', '/dev/vda', '/dev/vdb');
  t.is(said.exitCode, 0, said.stderr);
  t.regex(said.stdout, /next: .*watch web/s);
  const again = await protect('web', '/dev/vda');
  t.is(again.exitCode, 1);
  t.regex(again.stderr, /already protected/);
  t.regex(again.stderr, /leeward item web/);
  const item = await json(ItemView, 'item', 'web');
  t.is(item.disks.length, 2);
  const mobility = await readSettings(MobilityAssignment, join(out, 'mobility-service/assignment.json'));
  t.is(mobility.itemId, item.itemId);
  t.is(mobility.policy.crashConsistentSeconds, 60);
  const server = await readSettings(
    ProcessServerAssignment,
    join(out, 'process-server/items', `${item.itemId}.json`),
  );
  t.deepEqual(
    server.disks.map(({ diskId }) => diskId),
    item.disks.map(({ diskId }) => diskId),
  );
  const key = join(out, 'process-server/keys', `${item.itemId}.key`);
  t.is((await readFile(key)).byteLength, 32);
  t.is((await stat(key)).mode & 0o077, 0, 'the item key is nobody else’s');
});

test('every reading command answers as a table and as JSON', async (t) => {
  const { itemId } = await json(ItemView, 'item', 'web');
  await Promise.all([
    json(z.array(ItemView), 'items').then(([item]) =>
      t.like(item, { itemId, name: 'web', processServer: 'ps1', pointCount: 0 }),
    ),
    json(ItemView, 'item', itemId).then(({ name }) => t.is(name, 'web', 'by id, too')),
    leeward('items').then(({ stdout }) =>
      t.regex(stdout, /NAME.*STATE.*RPO.*\n.*web.*waiting for the machine/s),
    ),
    leeward('item', 'web').then(({ stdout }) => t.regex(stdout, /disk \/dev\/vdb/)),
    json(z.array(PointView), 'points', 'web').then((points) => t.deepEqual(points, [])),
    leeward('points', 'web').then(({ stdout }) => t.regex(stdout, /no recovery point yet/)),
    json(z.array(EventView), 'events', '--item', 'web').then((events) => t.deepEqual(events, [])),
    json(z.array(VerifyView), 'verify', 'web').then(([view]) => t.deepEqual(view?.findings, [])),
    leeward('verify').then(({ exitCode }) => t.is(exitCode, 0)),
    leeward('process-server', 'list').then(({ stdout }) => t.regex(stdout, /ps1 +127\.0\.0\.1:9555 +1/)),
  ]);
});

test('what does not exist is said with how to find what does', async (t) => {
  const wrong = [
    ['item', 'nobody'],
    ['points', 'nobody'],
    ['resync', 'nobody'],
    ['verify', 'nobody'],
    ['events', '--item', 'nobody'],
    ['unprotect', 'nobody', '--yes'],
    ['watch', 'nobody'],
  ];
  await Promise.all(
    wrong.map(async (args) => {
      const said = await leeward(...args);
      t.is(said.exitCode, 1, args.join(' '));
      t.regex(said.stderr, /no protected item nobody/, args.join(' '));
      t.regex(said.stderr, /leeward items/);
    }),
  );
  const limit = await leeward('points', 'web', '--limit', '0');
  t.is(limit.exitCode, 1);
  t.regex(limit.stderr, /limit must be/);
  const early = await leeward('resync', 'web');
  t.is(early.exitCode, 1);
  t.regex(early.stderr, /nothing of web has arrived yet/);
  for (const args of [
    ['test-failover', 'web'],
    ['cleanup', 'x'],
  ]) {
    const said = await leeward(...args);
    t.is(said.exitCode, 1);
    t.regex(said.stderr, /not set up at this vault/);
  }
  const watched = await leeward('watch', 'web', '--timeout', '1');
  t.is(watched.exitCode, 1);
  t.regex(watched.stderr, /no recovery point after/);
});

test('unprotect wants --yes, then forgets the machine and leaves nothing', async (t) => {
  const { itemId } = await json(ItemView, 'item', 'web');
  const asked = await leeward('unprotect', 'web');
  t.is(asked.exitCode, 1);
  t.regex(asked.stderr, /every recovery point/);
  t.is((await json(z.array(ItemView), 'items')).length, 1);
  const said = await leeward('unprotect', 'web', '--yes');
  t.is(said.exitCode, 0, said.stderr);
  t.deepEqual(await json(z.array(ItemView), 'items'), []);
  await t.throwsAsync(stat(join(data, 'replica', itemId)));
  t.is((await leeward('unprotect', 'web', '--yes')).exitCode, 1);
});
