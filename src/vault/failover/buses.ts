/**
 * Which bus each disk of a machine is put on. A guest's initramfs knows virtio-blk where it was made for a hypervisor at all, but
 * not always virtio-scsi, so the boot disk and as many of the others as there is room for are on virtio-blk; the rest, which the
 * guest finds when its root is mounted, are on virtio-scsi, whose one controller takes 256.
 */
import type { MachineDefinition } from './provider.ts';

/** Each virtio-blk disk takes a PCI slot of its own. */
export const virtioDisksMax = 24;

/** In the order of the source machine's disks, which is kept: firmware boots the first. One slot is the marker's. */
export const onBuses = (paths: readonly string[]): MachineDefinition['disks'] =>
  paths.map((path, index) => ({ path, bus: index < virtioDisksMax - 1 ? 'virtio' : 'scsi' }));
