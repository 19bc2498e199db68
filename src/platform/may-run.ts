/**
 * Whether a program in a folder of scripts may be run: a plain file, executable, ours or root's, and writable by nobody else,
 * because whoever can write it is whoever runs it. A leaf adapter: owner and mode are what decides, so `node:fs` looks itself.
 */
import { lstat } from 'node:fs/promises';
import { hasCode } from './errors.ts';

export async function mayRun(path: string): Promise<boolean> {
  try {
    const facts = await lstat(path);
    return (
      facts.isFile() &&
      (facts.uid === 0 || facts.uid === process.getuid?.()) &&
      (facts.mode & 0o022) === 0 &&
      (facts.mode & 0o100) !== 0
    );
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}
