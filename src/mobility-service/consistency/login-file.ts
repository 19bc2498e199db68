/** A file with a database login: the operator's consent to use the hook, readable by root only. */
import { stat } from 'node:fs/promises';
import { hasCode } from '../../platform/errors.ts';

/** Why the file cannot be used; `undefined` when it can. */
export async function loginFileObstacle(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path);
    if (!facts.isFile()) return `${path} is not a file`;
    if (facts.uid !== 0) return `${path} is not owned by root`;
    if ((facts.mode & 0o077) !== 0) return `${path} can be read by others than root (chmod 600)`;
    return undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return `there is no ${path}`;
    throw error;
  }
}
