/**
 * Sites as network namespaces: a protected site, a vault's site, joined by a veth pair with private addresses. Nobody's
 * network is touched; whatever was made inside goes away with the namespace. Needs root.
 */
import { randomBytes } from 'node:crypto';
import { readdir, readlink } from 'node:fs/promises';
import { run, tryRun } from '../../src/platform/exec.ts';

export interface Site extends AsyncDisposable {
  readonly name: string;
  /** Before a command that must run there. It only changes the network: `ip netns exec` would copy all mounts as well, and
   * where mounts are private a file system that is unmounted meanwhile lives on in the copy, and is written later. */
  readonly networkPrefix: readonly string[];
  run(program: string, args: readonly string[], timeoutMilliseconds?: number): Promise<string>;
  /** Ends what still runs there and deletes the namespace. Silent when it is gone. */
  remove(): Promise<void>;
}

const limit = { timeoutMilliseconds: 30_000 };

export const shortId = (): string => randomBytes(3).toString('hex');

export async function makeSite(name: string): Promise<Site> {
  await run('ip', ['netns', 'add', name], limit);
  const site = siteNamed(name);
  try {
    await site.run('ip', ['link', 'set', 'lo', 'up']);
    // A new namespace inherits forwarding from the machine's own; a site routes nothing.
    await site.run('sh', ['-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward']);
    return site;
  } catch (error) {
    await site.remove();
    throw error;
  }
}

export function siteNamed(name: string): Site {
  const networkPrefix = ['nsenter', `--net=/run/netns/${name}`, '--'] as const;
  const remove = async () => {
    if (!(await listSites()).includes(name)) return;
    await endProcesses(name);
    await tryRun('ip', ['netns', 'delete', name], limit);
  };
  return {
    name,
    networkPrefix,
    run: (program, args, timeoutMilliseconds = 30_000) =>
      run(networkPrefix[0], [...networkPrefix.slice(1), program, ...args], { timeoutMilliseconds }),
    remove,
    [Symbol.asyncDispose]: remove,
  };
}

export async function listSites(): Promise<string[]> {
  return (await run('ip', ['netns', 'list'], limit))
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((name) => name !== '');
}

/** A cable between two sites, each end with its address, e.g. `10.211.1.1/24`. */
export async function joinSites(
  one: { readonly site: Site; readonly device: string; readonly address: string },
  other: { readonly site: Site; readonly device: string; readonly address: string },
): Promise<void> {
  await run(
    'ip',
    [
      ...['link', 'add', one.device, 'netns', one.site.name, 'type', 'veth'],
      ...['peer', 'name', other.device, 'netns', other.site.name],
    ],
    limit,
  );
  for (const { site, device, address } of [one, other]) {
    await site.run('ip', ['address', 'add', address, 'dev', device]);
    await site.run('ip', ['link', 'set', device, 'up']);
  }
}

async function endProcesses(name: string): Promise<void> {
  const pids = async () =>
    (await tryRun('ip', ['netns', 'pids', name], limit)).stdout.split('\n').filter((pid) => pid !== '');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const pid of await pids())
      try {
        process.kill(Number(pid), signal);
      } catch {
        // It went by itself.
      }
    // A vault among them ends its database and unmounts its volume.
    for (let turn = 0; turn < 300 && (await pids()).length > 0; turn++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    if ((await pids()).length === 0) return;
  }
}

/** Whether this machine can have sites at all; the reason when it cannot. */
export async function sitesUnavailable(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const name = `leeward-probe-${shortId()}`;
  try {
    await using _ = await makeSite(name);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made here: ${String(error)}`;
  }
}

/** Processes by their network namespace; for tests that prove nothing is left. */
export async function processesOf(namespaceLink: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir('/proc'))
    if (/^\d+$/.test(entry) && (await readlink(`/proc/${entry}/ns/net`).catch(() => '')) === namespaceLink)
      found.push(entry);
  return found;
}
