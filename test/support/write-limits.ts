/** What the kernel limits of writes to a device, of all control groups, as anybody can see it. */
import { accessSync, constants } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';

export const blkioFolder = '/sys/fs/cgroup/blkio';
export const limitFile = 'blkio.throttle.write_iops_device';

/** Why writers cannot be held back here, or `undefined` when they can. The tests know cgroup v1; v2 is tried in a guest. */
export function canBrake(): string | undefined {
  try {
    accessSync(join(blkioFolder, limitFile), constants.W_OK);
  } catch {
    return `there is no ${join(blkioFolder, limitFile)}`;
  }
  return undefined;
}

/** `7:3` */
export async function numberOf(device: { readonly path: string }): Promise<string> {
  return (await readFile(`/sys/class/block/${basename(device.path)}/dev`, 'utf8')).trim();
}

/** Of each group that has one: its folder and the limit. */
export async function limitsOf(device: { readonly path: string }): Promise<Map<string, string>> {
  const number = await numberOf(device);
  const found = new Map<string, string>();
  const entries = await readdir(blkioFolder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.name !== limitFile) continue;
    try {
      const text = await readFile(join(entry.parentPath, limitFile), 'utf8');
      const line = text.split('\n').find((each) => each.startsWith(`${number} `));
      if (line) found.set(entry.parentPath, line.slice(number.length + 1));
    } catch (error) {
      // Groups come and go.
      if (!hasCode(error, 'ENOENT', 'ENODEV')) throw error;
    }
  }
  return found;
}

/** Waits until so many groups are limited on each device. */
export async function limitsOn(devices: readonly { readonly path: string }[], count: number): Promise<void> {
  for (const device of devices)
    await until(
      systemClock,
      3_000,
      async () => ((await limitsOf(device)).size === count ? true : undefined),
      () => new Error(`${device.path} has not ${count} limits`),
      5,
    );
}
