/**
 * The peers, each doing the same work on the same device in the same run: a whole-device copy, the same again after a
 * part of it changed, and getting it back as a bootable disk. Encrypting and compressing peers are the ones our path is
 * to be compared with; the others show what the machine can do.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { dropCaches, type Measured, sha256Of, shell, timed } from './measure.ts';

export interface Peer {
  readonly name: string;
  readonly encrypts: boolean;
  readonly compresses: boolean;
  /** Copies the device into `folder`. */
  initial(device: string, folder: string): Promise<Measured>;
  /** Brings the copy up to date after a part of the device changed; undefined: it can only copy all again. */
  delta?(device: string, folder: string): Promise<Measured>;
  /** Makes the newest copy a raw disk at `target`. */
  restore(folder: string, target: string): Promise<Measured>;
}

/** True when the peer's copy, brought back as a disk, has the bytes of the device. */
export async function peerIsExact(peer: Peer, folder: string, expected: string): Promise<boolean> {
  const target = join(folder, 'restored.raw');
  await peer.restore(folder, target);
  const actual = await sha256Of(target);
  rmSync(target, { force: true });
  return actual === expected;
}

export function available(program: string): Promise<boolean> {
  return shell(`command -v ${program}`).then(
    () => true,
    () => false,
  );
}

const syncFile = (path: string) => `sync ${path}`;

export const peers: readonly Peer[] = [
  {
    name: 'rsync',
    encrypts: false,
    compresses: false,
    initial: (device, folder) =>
      timed(
        `rsync -W --inplace --copy-devices ${device} ${folder}/rsync.raw; ${syncFile(`${folder}/rsync.raw`)}`,
      ),
    delta: (device, folder) =>
      timed(
        `rsync --no-whole-file --inplace --copy-devices --ignore-times ${device} ${folder}/rsync.raw; ${syncFile(`${folder}/rsync.raw`)}`,
      ),
    restore: (folder, target) =>
      timed(`cp --reflink=never ${folder}/rsync.raw ${target}; ${syncFile(target)}`),
  },
  {
    name: 'nbdcopy',
    encrypts: false,
    compresses: false,
    initial: (device, folder) =>
      timed(
        `truncate -s $(blockdev --getsize64 ${device}) ${folder}/nbd.raw; nbdcopy --flush -- [ nbdkit --exit-with-parent -r file ${device} ] [ nbdkit --exit-with-parent file ${folder}/nbd.raw ]`,
      ),
    restore: (folder, target) => timed(`cp --reflink=never ${folder}/nbd.raw ${target}; ${syncFile(target)}`),
  },
  {
    name: 'qemu-img',
    encrypts: false,
    compresses: true,
    initial: (device, folder) =>
      timed(
        `qemu-img convert -c -W -m 4 -f raw -O qcow2 -o compression_type=zstd ${device} ${folder}/disk.qcow2; ${syncFile(`${folder}/disk.qcow2`)}`,
      ),
    restore: (folder, target) =>
      timed(`qemu-img convert -O raw ${folder}/disk.qcow2 ${target}; ${syncFile(target)}`),
  },
  {
    name: 'zstd+openssl',
    encrypts: true,
    compresses: true,
    initial: (device, folder) =>
      timed(
        `zstd -q -1 -T2 --stdout < ${device} | openssl enc -aes-256-ctr -pbkdf2 -iter 1000 -pass pass:bench > ${folder}/disk.zst.enc; ${syncFile(`${folder}/disk.zst.enc`)}`,
      ),
    restore: (folder, target) =>
      timed(
        `openssl enc -d -aes-256-ctr -pbkdf2 -iter 1000 -pass pass:bench < ${folder}/disk.zst.enc | zstd -q -d > ${target}; ${syncFile(target)}`,
      ),
  },
  {
    name: 'restic',
    encrypts: true,
    compresses: true,
    initial: async (device, folder) => {
      await shell(`restic -q --no-cache init -r ${folder}/restic`);
      return timed(
        `restic -q --no-cache -r ${folder}/restic backup --stdin --stdin-filename disk < ${device}; sync -f ${folder}`,
      );
    },
    delta: (device, folder) =>
      timed(
        `restic -q --no-cache -r ${folder}/restic backup --stdin --stdin-filename disk < ${device}; sync -f ${folder}`,
      ),
    restore: (folder, target) =>
      timed(`restic -q --no-cache -r ${folder}/restic dump latest disk > ${target}; ${syncFile(target)}`),
  },
  {
    name: 'borg',
    encrypts: true,
    compresses: true,
    initial: async (device, folder) => {
      await shell(`BORG_BASE_DIR=${folder}/borg-home borg init -e repokey-blake2 ${folder}/borg`);
      return timed(
        `export BORG_BASE_DIR=${folder}/borg-home; borg create --compression zstd,1 --read-special ${folder}/borg::$RANDOM-{now:%s%f} ${device}; sync -f ${folder}`,
      );
    },
    delta: (device, folder) =>
      timed(
        `export BORG_BASE_DIR=${folder}/borg-home; borg create --compression zstd,1 --read-special ${folder}/borg::$RANDOM-{now:%s%f} ${device}; sync -f ${folder}`,
      ),
    restore: (folder, target) =>
      timed(
        `export BORG_BASE_DIR=${folder}/borg-home; a=$(borg list --last 1 --short ${folder}/borg); borg extract --stdout ${folder}/borg::$a > ${target}; ${syncFile(target)}`,
      ),
  },
];

/** One `cp`: the plain copy that shows what the disks themselves can do. */
export async function plainCopy(device: string, folder: string): Promise<Measured> {
  await dropCaches();
  return timed(
    `cp --sparse=never ${device} ${folder}/cp.raw; ${syncFile(`${folder}/cp.raw`)}; rm ${folder}/cp.raw`,
  );
}
