/** What people give to a command besides words: files that they name. */
import { readFile } from 'node:fs/promises';
import { LeewardError } from '../platform/errors.ts';

/** A file that a person named. */
export async function readText(path: string, action: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LeewardError({
      code: 'FileUnreadable',
      summary: `${path} cannot be read`,
      possibleCauses: 'It does not exist, or it is not yours to read.',
      recommendedAction: action,
      cause,
    });
  }
}
