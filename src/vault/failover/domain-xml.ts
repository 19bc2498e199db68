/**
 * From a machine definition to what libvirt reads. Everything that came from outside is escaped, and names are checked
 * against what may stand in a domain, bridge or file name, because they also become arguments and paths.
 */
import { createHash } from 'node:crypto';
import { disksMax } from '../../protocol/replication/messages.ts';
import { virtioDisksMax } from './buses.ts';
import { errors } from './errors.ts';
import type { MachineDefinition } from './provider.ts';

export const escapeXml = (text: string): string =>
  // Control characters are not XML at all, escaped or not.
  text
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export function assertDefinition(machine: MachineDefinition): void {
  const refuse = (what: string) => errors.MachineDefinitionInvalid(what);
  if (!namePattern.test(machine.name)) throw refuse(`"${machine.name}" cannot be a machine's name`);
  if (!namePattern.test(machine.network.name))
    throw refuse(`"${machine.network.name}" cannot be a network's name`);
  if (!Number.isInteger(machine.cpuCount) || machine.cpuCount < 1 || machine.cpuCount > 256)
    throw refuse(`a machine cannot have ${machine.cpuCount} processors`);
  if (!Number.isInteger(machine.memoryMebibytes) || machine.memoryMebibytes < 32)
    throw refuse(`a machine cannot have ${machine.memoryMebibytes} MiB of memory`);
  if (machine.disks.length > disksMax)
    throw refuse(`a machine cannot have ${machine.disks.length} disks; ${disksMax} are the most`);
  if (machine.disks.filter(({ bus }) => bus === 'virtio').length > virtioDisksMax)
    throw refuse(`a machine cannot have more than ${virtioDisksMax} disks on virtio-blk`);
  for (const { path } of machine.disks)
    if (!path.startsWith('/')) throw refuse(`the disk "${path}" is not an absolute path`);
}

/** Stable for a name, so that starting again gives the same machine. Locally administered, QEMU's prefix. */
export function addressOfName(name: string): string {
  const digest = createHash('sha256').update(name).digest();
  return `52:54:00:${[...digest.subarray(0, 3)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
}

export interface DomainExtras {
  readonly accelerator: 'kvm' | 'tcg';
  readonly consoleLog: string;
  /** Of the machine's marker, where it has one. */
  readonly markerDisk?: string | undefined;
  /** The folder of the machine's VNC socket. */
  readonly displaySocket: string;
}

export function domainXml(machine: MachineDefinition, extras: DomainExtras): string {
  assertDefinition(machine);
  const counts = { virtio: 0, scsi: 0 };
  const disks = machine.disks.map(({ path, bus }, index) => {
    const place = counts[bus]++;
    const target = `${bus === 'virtio' ? 'vd' : 'sd'}${lettersOf(place)}`;
    // Left to itself, libvirt gives a controller seven disks and adds others, of a model that guests of today do not know.
    const address =
      bus === 'scsi'
        ? `\n      <address type='drive' controller='0' bus='0' target='${place}' unit='0'/>`
        : '';
    return `    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap'/>
      <source file='${escapeXml(path)}'/>
      <target dev='${target}' bus='${bus}'/>${machine.directBoot === undefined ? `\n      <boot order='${index + 1}'/>` : ''}${address}
    </disk>`;
  });
  if (extras.markerDisk !== undefined) disks.push(markerXml(extras.markerDisk));
  const boot = machine.directBoot;
  const isEfi = machine.firmware === 'efi' && boot === undefined;
  // Emulated processors that wait for one another may wait for ever: `docs/decisions/one-emulated-processor.md`.
  const cpuCount = extras.accelerator === 'tcg' ? 1 : machine.cpuCount;
  return `<domain type='${extras.accelerator === 'kvm' ? 'kvm' : 'qemu'}'>
  <name>${escapeXml(machine.name)}</name>
  <memory unit='MiB'>${machine.memoryMebibytes}</memory>
  <vcpu>${cpuCount}</vcpu>
  <os${isEfi ? " firmware='efi'" : ''}>
    <type arch='x86_64' machine='q35'>hvm</type>${isEfi ? noSecureBoot : ''}${
      boot === undefined
        ? ''
        : `
    <kernel>${escapeXml(boot.kernel)}</kernel>
    <initrd>${escapeXml(boot.initrd)}</initrd>
    <cmdline>${escapeXml(boot.commandLine)}</cmdline>`
    }
  </os>
  <features><acpi/><apic/></features>
  ${
    // Without cx16: QEMU 7.2's emulation of cmpxchg16b breaks guest kernels. KVM runs the instruction itself.
    extras.accelerator === 'kvm'
      ? "<cpu mode='host-passthrough'/>"
      : "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><feature policy='disable' name='cx16'/></cpu>"
  }
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
${disks.join('\n')}
${counts.scsi > 0 ? "    <controller type='scsi' index='0' model='virtio-scsi'/>\n" : ''}    <controller type='usb' model='none'/>
    <interface type='network'>
      <mac address='${addressOfName(machine.name)}'/>
      <source network='${escapeXml(machine.network.name)}'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='pty'>
      <log file='${escapeXml(extras.consoleLog)}' append='off'/>
      <target port='0'/>
    </serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' socket='${escapeXml(extras.displaySocket)}'/>
    <video><model type='vga' vram='16384' heads='1' primary='yes'/></video>
    <memballoon model='none'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
`;
}

/** As the kernel names disks: a to z, then aa. */
function lettersOf(place: number): string {
  const last = String.fromCharCode(97 + (place % 26));
  return place < 26 ? last : `${lettersOf(Math.floor(place / 26) - 1)}${last}`;
}
/** Behind all others, whatever they are called, so that no disk of the machine gets another name; never booted from. */
const markerXml = (path: string): string => `    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='${escapeXml(path)}'/>
      <target dev='vdzz' bus='virtio'/>
      <readonly/>
      <serial>leeward-marker</serial>
    </disk>`;

/** What is signed boots without it, too; with it, whatever the source machine's owner signed with a key of his own would not. */
const noSecureBoot = `
    <firmware><feature enabled='no' name='secure-boot'/></firmware>`;

/** A bridge of its own, DHCP, no forwarding, no names, no gateway: what is on it can speak to what is on it. */
export function isolatedNetworkXml(network: { name: string; bridge: string; subnet: string }): string {
  return `<network>
  <name>${escapeXml(network.name)}</name>
  <bridge name='${escapeXml(network.bridge)}' stp='off' delay='0'/>
  <dns enable='no'/>
  <ip address='${network.subnet}.1' netmask='255.255.255.0'>
    <dhcp><range start='${network.subnet}.10' end='${network.subnet}.200'/></dhcp>
  </ip>
</network>
`;
}
