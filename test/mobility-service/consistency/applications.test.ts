/**
 * Goal: an application is brought to rest by what only root can have written, never for longer than allowed, and is always
 * let go again.
 * Method: real scripts in temporary folders, with the ownership and modes under test.
 */
import { chmod, chown, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { createApplications } from '../../../src/mobility-service/consistency/applications.ts';
import type { Hook } from '../../../src/mobility-service/consistency/hook.ts';
import { runScript } from '../../../src/mobility-service/consistency/scripts.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { hasCode, type LeewardError } from '../../../src/platform/errors.ts';

const obstacle =
  process.getuid?.() === 0 ? undefined : 'scripts must be owned by root, so their tests need root';
if (obstacle) console.log(`skipped: ${obstacle}`);
const test = obstacle ? anyTest.skip : anyTest;

test('pre script, hooks and post script run in order, with their phase', async (t) => {
  const folder = await makeFolder(t);
  const journal = join(folder, 'journal');
  const path = await script(folder, 'both', `echo "$1 $LEEWARD_PHASE" >>${journal}`);
  const hook: Hook = {
    name: 'test',
    pre: async () => {
      await writeFile(journal, 'hook pre\n', { flag: 'a' });
      return {};
    },
    post: async () => {
      await writeFile(journal, 'hook post\n', { flag: 'a' });
    },
  };
  const applications = make({ pre: path, post: path }, [hook]);
  await applications.pre();
  await applications.post();
  t.is(await readFile(journal, 'utf8'), 'pre pre\nhook pre\nhook post\npost post\n');
});

test('a failing pre script shows the end of what it printed, and its post script still runs', async (t) => {
  const folder = await makeFolder(t);
  const ran = join(folder, 'ran');
  const pre = await script(
    folder,
    'pre',
    'yes filler | head -c 100000; echo "the database is locked" >&2; exit 3',
  );
  const post = await script(folder, 'post', `touch ${ran}`);
  const applications = make({ pre, post });
  const error = await t.throwsAsync(applications.pre(), { code: 'PreScriptFailed', message: /ended with 3/ });
  t.regex(error!.message, /the database is locked$/);
  t.true(error!.message.length < 2400);
  await applications.post();
  t.is(await readFile(ran, 'utf8'), '');
});

test('a script that does not end is ended with all it started', async (t) => {
  const folder = await makeFolder(t);
  const pids = join(folder, 'pids');
  const path = await script(
    folder,
    'slow',
    `trap '' TERM; sleep 300 & echo $$ $! >${pids}; echo working; wait; wait; sleep 300`,
  );
  const result = await runScript(systemClock, path, 'pre', 300);
  t.true(result.timedOut);
  t.is(result.exitCode, undefined);
  t.is(result.outputTail, 'working');
  for (const pid of (await readFile(pids, 'utf8')).trim().split(' '))
    await until(
      systemClock,
      60_000,
      async () => ((await isRunning(Number(pid))) ? undefined : true),
      () => new Error(`process ${pid} was left behind`),
    );
});

test('a script that leaves a daemon behind with its output open is not waited for', async (t) => {
  const folder = await makeFolder(t);
  const pidFile = join(folder, 'pid');
  const path = await script(folder, 'daemon', `sleep 300 & echo $! >${pidFile}; echo started`);
  const result = await runScript(systemClock, path, 'post', 60_000);
  process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGKILL');
  t.deepEqual(result, { exitCode: 0, timedOut: false, outputTail: 'started' });
});

test('scripts that others than root could have written are refused, with the reason', async (t) => {
  const folder = await makeFolder(t);
  const good = await script(folder, 'good', 'true');
  const refused = (path: string, why: RegExp) =>
    t.throwsAsync(runScript(systemClock, path, 'pre', 1000), { code: 'ScriptNotTrusted', message: why });

  const writable = await script(folder, 'writable', 'true');
  await chmod(writable, 0o775);
  await refused(writable, /writable is writable by others/);

  const foreign = await script(folder, 'foreign', 'true');
  await chown(foreign, 65534, 65534);
  await refused(foreign, /foreign is not owned by root/);

  const open = join(folder, 'open');
  await mkdir(open);
  await chmod(open, 0o777);
  await refused(await script(open, 'inside', 'true'), /open is writable by others/);
  // A link into the open folder is as open as the folder.
  const link = join(folder, 'link');
  await symlink(join(open, 'inside'), link);
  await refused(link, /open is writable by others/);

  const dull = await script(folder, 'dull', 'true');
  await chmod(dull, 0o600);
  await refused(dull, /not executable/);
  await refused('relative/path', /not absolute/);
  await refused(join(folder, 'missing'), /does not exist/);
  await refused(folder, /not a regular file/);
  t.is((await runScript(systemClock, good, 'pre', 60_000)).exitCode, 0);
});

test('the pre script does not run when the post script could not be trusted', async (t) => {
  const folder = await makeFolder(t);
  const ran = join(folder, 'ran');
  const pre = await script(folder, 'pre', `touch ${ran}`);
  const post = await script(folder, 'post', 'true');
  await chmod(post, 0o777);
  const applications = make({ pre, post });
  await t.throwsAsync(applications.pre(), { code: 'PreScriptFailed', message: /post is writable by others/ });
  await applications.post();
  await t.throwsAsync(readFile(ran), { code: 'ENOENT' });
});

test('a hook that fails is let go, together with those before it, and one that is left out is reported once', async (t) => {
  const ended: string[] = [];
  const reports: LeewardError[] = [];
  const hook = (name: string, pre: Hook['pre']): Hook => ({
    name,
    pre,
    post: async () => {
      ended.push(name);
    },
  });
  const applications = createApplications({
    clock: systemClock,
    hooks: [
      hook('absent', async () => ({ skipped: 'not installed' })),
      hook('stubborn', async () => {
        throw new Error('no');
      }),
      hook('never', async () => ({})),
    ],
    report: (warning) => reports.push(warning),
  });
  for (let round = 0; round < 2; round++) {
    await t.throwsAsync(applications.pre(), { code: 'PreScriptFailed' });
    await applications.post();
  }
  t.deepEqual(ended, ['stubborn', 'absent', 'stubborn', 'absent']);
  t.deepEqual(
    reports.map((report) => report.context.hook),
    ['absent'],
  );
});

function make(scripts: { pre?: string; post?: string }, hooks: readonly Hook[] = []) {
  return createApplications({
    clock: systemClock,
    scripts: { ...scripts, timeoutSeconds: 30 },
    hooks,
    report: () => {},
  });
}

async function makeFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-scripts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function script(folder: string, name: string, body: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

async function isRunning(pid: number): Promise<boolean> {
  try {
    return !/\) [ZX] /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return false;
    throw error;
  }
}
