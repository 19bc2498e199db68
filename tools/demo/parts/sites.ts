/**
 * Two sites as network namespaces:
 *
 *     protected  10.211.1.1 (bridge: the guest, 10.211.1.10)   10.211.2.2 ══veth══ 10.211.2.1  vault
 *                configuration server, process server                              vault, libvirtd, test networks
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinSites, makeSite, type Site } from '../../../test/support/namespaces.ts';
import { type DemoState, protectedSiteOf, vaultSiteOf } from './state.ts';

export const guestAddress = '10.211.1.10';
/** Of the configuration server and the process server, as the guest sees them. */
export const siteAddress = '10.211.1.1';
export const vaultAddress = '10.211.2.1';
const guestMac = '52:54:00:1e:ee:01';

export async function makeSites(state: DemoState): Promise<{ protectedSite: Site; vaultSite: Site }> {
  const protectedSite = await makeSite(protectedSiteOf(state));
  const vaultSite = await makeSite(vaultSiteOf(state));
  await joinSites(
    { site: protectedSite, device: 'to-vault', address: '10.211.2.2/24' },
    { site: vaultSite, device: 'to-protected', address: `${vaultAddress}/24` },
  );
  await protectedSite.run('ip', ['link', 'add', 'lan', 'type', 'bridge']);
  await protectedSite.run('ip', ['address', 'add', `${siteAddress}/24`, 'dev', 'lan']);
  await protectedSite.run('ip', ['link', 'set', 'lan', 'up']);
  await protectedSite.run('ip', ['tuntap', 'add', 'guest', 'mode', 'tap']);
  await protectedSite.run('ip', ['link', 'set', 'guest', 'master', 'lan', 'up']);
  background(state, protectedSite, 'dnsmasq', 'dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--port=0',
    '--interface=lan',
    '--bind-interfaces',
    `--dhcp-range=${guestAddress},${guestAddress},12h`,
    `--dhcp-host=${guestMac},${guestAddress}`,
    `--dhcp-leasefile=${join(state.folder, 'leases')}`,
    `--pid-file=${join(state.folder, 'dnsmasq.pid')}`,
  ]);
  return { protectedSite, vaultSite };
}

/**
 * Starts a process that outlives the demo, in a site's network; deleting the site ends it. Mounts are everybody's: the
 * hypervisor must see the replica volume that the vault mounts.
 */
export function background(
  state: DemoState,
  site: Site,
  name: string,
  program: string,
  args: readonly string[],
): void {
  const log = openSync(join(state.folder, `${name}.log`), 'a', 0o600);
  const [first, ...rest] = [...site.networkPrefix, program, ...args];
  const child = spawn(first!, rest, { detached: true, stdio: ['ignore', log, log] });
  child.unref();
  child.once('exit', (code, signal) => {
    ended.push(
      `${name} ended with ${code ?? signal}; it said:\n${lastLines(join(state.folder, `${name}.log`))}`,
    );
  });
}

const ended: string[] = [];

/** Throws when something that was started in the background has ended: waiting for it any longer is in vain. */
export function assertAllRunning(): void {
  if (ended.length > 0) throw new Error(ended.join('\n'));
}

function lastLines(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}

export function startGuest(
  state: DemoState,
  site: Site,
  disks: { readonly system: string; readonly data: string },
): void {
  background(state, site, 'guest', 'qemu-system-x86_64', [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'qemu64,cx16=off', '-smp', '2', '-m', '768', '-M', 'q35'],
    ...['-display', 'none', '-no-reboot', '-serial', `file:${join(state.folder, 'console.log')}`],
    ...['-drive', `file=${disks.system},format=raw,if=virtio,discard=unmap`],
    ...['-drive', `file=${disks.data},format=raw,if=virtio,discard=unmap`],
    ...['-netdev', 'tap,id=n0,ifname=guest,script=no,downscript=no'],
    ...['-device', `virtio-net-pci,netdev=n0,mac=${guestMac},romfile=`, '-device', 'virtio-rng-pci'],
  ]);
}
