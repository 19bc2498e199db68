/**
 * Goal: what is shipped to protected machines is whole, small, the same every time, and never contains a server.
 * Method: pack twice in different folders, unpack, look, and run what can run without installing.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import anyTest from 'ava';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { bundleAgent } from '../../../tools/agent/bundle.ts';
import { type AgentPackages, packAgent } from '../../../tools/agent/pack.ts';

const root = join(import.meta.dirname, '../../..');
const service = 'src/bin/mobility-service.ts';
const entry = isThere(join(root, service), constants.R_OK) ? service : 'test/appliance/agent/stub-service.ts';
const obstacle = ['gcc', 'dpkg-deb', 'tar', 'strip'].find((program) => !onPath(program));
if (obstacle) console.log(`skipped: ${obstacle} is not installed`);
const test = obstacle ? anyTest.serial.skip : anyTest.serial;
const testUnit = obstacle || !onPath('systemd-analyze') ? anyTest.serial.skip : anyTest.serial;
const limit = { timeoutMilliseconds: 60_000 };

let folder: string;
let first: AgentPackages;
let second: AgentPackages;
let tree: string;
if (!obstacle)
  anyTest.before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leeward-agent-'));
    const epochSeconds = 1_700_000_000;
    first = await packAgent({ entry, outputFolder: join(folder, 'one'), epochSeconds });
    second = await packAgent({ entry, outputFolder: join(folder, 'two'), epochSeconds });
    await run('tar', ['-xzf', first.tar, '-C', folder], limit);
    tree = join(folder, basename(first.tar, '.tar.gz'));
  });
anyTest.after.always(async () => {
  if (folder) await rm(folder, { recursive: true, force: true });
});

test('packing the same tree twice gives the same bytes', async (t) => {
  t.is(await digest(first.tar), await digest(second.tar));
  t.is(await digest(first.deb), await digest(second.deb));
});

test('the program contains no server, no database and no remote login', (t) => {
  for (const name of ['koa', 'mysql2', 'ssh2', '@azure/storage-blob', 'commander', 'systeminformation'])
    t.false(first.bundle.packages.includes(name), name);
  for (const source of first.bundle.sources)
    t.regex(
      source,
      /^(src\/(bin|mobility-service|platform|protocol\/(replication|control)|model|disk)|test\/appliance)\//,
    );
  t.true(first.bundle.bytes < 4 << 20);
});

test('bundling refuses what may not be shipped', async (t) => {
  const bad = join(folder, 'bad.mjs');
  await writeFile(
    bad,
    `import koa from '${join(root, 'node_modules/koa/lib/application.js')}'; console.log(koa);`,
  );
  await t.throwsAsync(bundleAgent(bad, join(folder, 'out.mjs')), { message: /koa must not be/ });
});

test('what is unpacked runs without anything else: its Node, its program, its helpers', async (t) => {
  const node = join(tree, 'bin/node');
  t.is(await run(node, ['-p', '6*7'], { ...limit, env: {} }), '42');
  await run(node, ['--check', join(tree, 'lib/mobility-service.mjs')], limit);
  for (const name of ['leeward-thaw', 'leeward-brake']) {
    const helper = await tryRun(join(tree, 'bin', name), ['--wrong'], limit);
    t.is(helper.exitCode, 1);
    t.regex(helper.stderr, /usage/);
  }
  t.false(
    (await run('file', ['-b', join(tree, 'bin/leeward-thaw')], limit).catch(() => '')).includes(
      'dynamically',
    ),
  );
  t.deepEqual(
    (await readdir(tree)).sort(),
    [
      'ARCHITECTURE',
      'VERSION',
      'bin',
      'install.sh',
      'lib',
      'leeward-mobility.service',
      'share',
      'uninstall.sh',
    ].sort(),
  );
});

test('the packages stay small enough to send to a thousand machines', async (t) => {
  for (const path of [first.tar, first.deb]) t.true((await stat(path)).size < 50 << 20, path);
});

test('the deb says what it is and holds only its own places', async (t) => {
  const field = async (name: string) => (await run('dpkg-deb', ['--field', first.deb, name], limit)).trim();
  t.is(await field('Package'), 'leeward-mobility-service');
  t.regex(await field('Version'), /^\d+\.\d+\.\d+/);
  const names = (await run('dpkg-deb', ['--contents', first.deb], limit))
    .trim()
    .split('\n')
    .map((line) => line.split(/\s+/).slice(5).join(' '));
  for (const name of names) t.regex(name, /^\.\/((opt|etc|lib)\/)?(leeward\/|systemd\/|$)?/);
  t.true(names.includes('./lib/systemd/system/leeward-mobility.service'));
  for (const line of (await run('dpkg-deb', ['--contents', first.deb], limit)).trim().split('\n'))
    t.regex(line, /root\/root/);
});

test('install and uninstall scripts are plain sh, and refuse to run without root', async (t) => {
  for (const name of ['install.sh', 'uninstall.sh', 'bin/leeward-mobility-service'])
    await run('sh', ['-n', join(tree, name)], limit);
  if (process.getuid?.() !== 0 || !onPath('setpriv')) return void t.pass();
  await chmod(folder, 0o755);
  for (const name of ['install.sh', 'uninstall.sh']) {
    const result = await tryRun('setpriv', ['--reuid=65534', '--clear-groups', join(tree, name)], limit);
    t.is(result.exitCode, 1);
    t.regex(result.stderr, /needs root/);
  }
});

testUnit('systemd accepts the unit, and its sandbox scores 3 at most', async (t) => {
  const unit = join(tree, 'leeward-mobility.service');
  const verify = await tryRun('systemd-analyze', ['verify', unit], limit);
  const complaints = verify.stderr
    .split('\n')
    // Its program is not installed here, and a manual in a file is not looked for.
    .filter((line) => line.includes('leeward-mobility') && !line.includes('is not executable'));
  t.deepEqual(complaints, []);
  const security = await run('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], limit);
  const score = Number(/Overall exposure level[^:]*: ([\d.]+)/.exec(security)?.[1]);
  // 2.8 before the write brake had to reach the control groups.
  t.true(score > 0 && score <= 3, `score ${score}`);
});

async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

function isThere(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((place) => isThere(join(place, program), constants.X_OK));
}
