/**
 * File systems that hung once in a freeze, and are left out of later ones by name. One file each in a folder on tmpfs
 * (`<runtime>/left-out/7-3`), so that they outlive a restart of the service and not one of the machine. A person who has mended
 * what lies under one removes its file; one that is no longer mounted is forgotten by itself.
 *
 * A leaf adapter of a folder in memory: `node:fs`, since nothing in it must survive a power cut.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode } from '../../platform/errors.ts';

export interface LeftOut {
  /** Of the superblock: `7:3`. */
  readonly device: string;
  readonly mountPoint: string;
  /** In what it hung: `freezing`. */
  readonly step: string;
}

export const leftOutFolder = (notePath: string): string => join(dirname(notePath), 'left-out');

export const leftOutFile = (folder: string, device: string): string => join(folder, device.replace(':', '-'));

export async function leaveOut(folder: string, entry: LeftOut, since: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(leftOutFile(folder, entry.device), `${JSON.stringify({ ...entry, since })}\n`);
}

/** Those among the devices that are mounted now. */
export async function allLeftOut(folder: string, mountedDevices: ReadonlySet<string>): Promise<LeftOut[]> {
  const found: LeftOut[] = [];
  for (const name of await namesIn(folder)) {
    const device = name.replace('-', ':');
    if (!mountedDevices.has(device)) await rm(join(folder, name), { force: true });
    else found.push(await entryOf(join(folder, name), device));
  }
  return found;
}

/** What a person wrote, or a cut-off file, still leaves out the device that it is named after. */
async function entryOf(path: string, device: string): Promise<LeftOut> {
  try {
    const { mountPoint, step } = JSON.parse(await readFile(path, 'utf8')) as Partial<LeftOut>;
    return { device, mountPoint: String(mountPoint ?? device), step: String(step ?? 'freezing') };
  } catch (error) {
    if (!(error instanceof SyntaxError) && !hasCode(error, 'ENOENT')) throw error;
    return { device, mountPoint: device, step: 'freezing' };
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => /^\d+-\d+$/.test(name)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}
