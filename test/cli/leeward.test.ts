/**
 * Goal: what of `leeward` needs no vault to talk to does what it says: making one, and saying at once what was typed wrongly.
 * Method: the real command; `test/cli/api.test.ts` has everything that goes over the API.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { tryRun } from '../../src/platform/exec.ts';
import { canMakeVolumes } from '../../src/vault/replica/volume.ts';
import { Daemon, eventually, freePort } from '../support/site.ts';

const able = await canMakeVolumes();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const root = join(import.meta.dirname, '../..');
let folder: string;
let data: string;

const leeward = (...args: string[]) =>
  tryRun(process.execPath, [join(root, 'src/bin/leeward.ts'), '--data', data, ...args], {
    timeoutMilliseconds: 180_000,
    env: { PATH: process.env.PATH ?? '', XDG_CONFIG_HOME: join(folder, 'config') },
  });

anyTest.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-cli-'));
  data = join(folder, 'vault');
});
anyTest.after.always(() => rm(folder, { recursive: true, force: true }));

test('wrong usage is said at once', async (t) => {
  for (const [args, text] of [
    [['protected-item', 'enable', 'web'], /--policy/],
    [['frobnicate'], /unknown command/],
    [['--output', 'xml', 'fabric', 'list'], /Allowed choices are table, json/],
    [['recovery-point', 'list'], /--item/],
  ] as const) {
    const said = await leeward(...args);
    t.is(said.exitCode, 1, args.join(' '));
    t.is(said.stdout, '');
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
  const vault = new Daemon('vault', folder, ['src/bin/leeward.ts', '--data', data, 'vault', 'run']);
  vault.start();
  t.teardown(() => vault.kill('SIGTERM'));
  await eventually('the vault is ready', 180, () =>
    vault.tail(100).includes('vault-ready') ? true : undefined,
  );
  t.is((await stat(join(data, 'owner.json'))).mode & 0o077, 0, 'nobody else may sign in as its owner');
});
