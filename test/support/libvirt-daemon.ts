/**
 * A libvirtd of one's own inside a site: its bridges, its dnsmasq and its machines live in that network namespace, and
 * its state in a folder of ours that a private mount namespace puts over the daemon's fixed paths. The machine's own
 * libvirtd, if there is one, notices nothing. `ip netns exec` brings the private mount namespace along, with the site's /sys.
 */
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';
import { tryRun } from '../../src/platform/exec.ts';
import type { Site } from './namespaces.ts';

export interface LibvirtDaemon extends AsyncDisposable {
  readonly uri: string;
  readonly folder: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Where a daemon of this folder answers, before and after it is started. */
export const libvirtUri = (folder: string) =>
  `qemu+unix:///system?socket=${join(folder, 'run/libvirt-sock')}`;

/**
 * @param folder short and private; default: a new one under the temporary folder, removed with the daemon.
 * @param dataFolder of the vault whose machines it runs: of replica volumes it sees that one's only.
 */
export async function startLibvirt(site: Site, folder?: string, dataFolder = ''): Promise<LibvirtDaemon> {
  const own = folder ?? (await mkdtemp(join(tmpdir(), 'lw-')));
  await writeConfiguration(own);
  // The copies of mounts that others take away again: where mounts are private, these would keep them alive; where they are
  // not, one that is taken away meanwhile goes here, too, and is no fault.
  const script = `set -e
awk -v own="$2/" '$5 ~ "/leeward-mount-" || (/ - [a-z0-9]+ \\/dev\\/loop/ && $5 ~ "/replica$" && index($5, own) != 1) { print $5 }' \
  /proc/self/mountinfo | while read -r path; do umount "$path" || ! grep -qF " $path " /proc/self/mountinfo || exit 1; done
for pair in run:/run/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt etc:/etc/libvirt; do
  mkdir -p "\${pair#*:}"
  mount --bind "$1/\${pair%%:*}" "\${pair#*:}"
done
exec libvirtd --config "$1/etc/libvirtd.conf" --pid-file "$1/libvirtd.pid"`;
  const log = openSync(join(own, 'libvirtd.log'), 'a', 0o600);
  const child = spawn('ip', ['netns', 'exec', site.name, 'sh', '-c', script, 'sh', own, dataFolder], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  child.unref();
  const uri = libvirtUri(own);
  const stop = async () => {
    // Machines first: QEMU outlives its libvirtd.
    const virsh = async (...args: string[]) =>
      (await tryRun('virsh', ['-q', '-c', uri, ...args], { timeoutMilliseconds: 60_000 })).stdout;
    for (const name of (await virsh('list', '--name')).split('\n').filter((line) => line !== ''))
      await virsh('destroy', name);
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await until(
        systemClock,
        60_000,
        () => (child.exitCode !== null || child.signalCode !== null ? true : undefined),
        () => new Error('libvirtd does not end'),
      ).catch(() => child.kill('SIGKILL'));
    }
    if (folder === undefined) await rm(own, { recursive: true, force: true });
  };
  try {
    await until(
      systemClock,
      // It looks at the machine first, which takes long where much else is going on: a question that it left open is asked again.
      90_000,
      async () => {
        try {
          const { exitCode } = await tryRun('virsh', ['-q', '-c', uri, 'version'], {
            timeoutMilliseconds: 20_000,
          });
          return exitCode === 0 ? true : undefined;
        } catch (error) {
          if (hasCode(error, 'CommandTimedOut')) return undefined;
          throw error;
        }
      },
      () => new Error('libvirtd did not answer'),
      200,
    );
  } catch (error) {
    const said = await readFile(join(own, 'libvirtd.log'), 'utf8').catch(() => '');
    await stop();
    throw new Error(`libvirtd did not start in ${site.name}: ${said.slice(-2000)}`, { cause: error });
  }
  return { uri, folder: own, pid: child.pid!, stop, [Symbol.asyncDispose]: stop };
}

async function writeConfiguration(folder: string): Promise<void> {
  for (const name of ['run', 'lib', 'log', 'cache', 'etc'])
    await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  await writeFile(
    join(folder, 'etc/libvirtd.conf'),
    'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_group = "root"\nlog_outputs = "3:stderr"\n',
  );
  // Started by hand and as root: no other user, no security driver, no helper daemon for logs, no control groups.
  await writeFile(
    join(folder, 'etc/qemu.conf'),
    [
      'user = "root"',
      'group = "root"',
      'dynamic_ownership = 0',
      'remember_owner = 0',
      'security_driver = "none"',
      'stdio_handler = "file"',
      'cgroup_controllers = [ ]',
      'namespaces = [ ]',
      '',
    ].join('\n'),
  );
}
