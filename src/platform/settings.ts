/**
 * Settings: one JSON file per daemon, parsed once by a zod schema into a frozen record. Unknown keys are errors. Secrets
 * are never in it: a settings file names the file that holds the secret.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { hasCode, LeewardError } from './errors.ts';

/** Parses `value`, or throws an error that names each wrong key. `what` names the thing, e.g. a path. */
export function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new LeewardError({
    code: 'InvalidInput',
    summary: `${what} does not have the expected form: ${z.prettifyError(result.error).replaceAll('\n', ' ')}`,
    possibleCauses: 'A key is missing, misspelt or of the wrong type, or the file is of another version.',
    recommendedAction: 'Correct the keys named above.',
    context: { what },
  });
}

/** Parses JSON text with `schema`. */
export function parseJson<T extends z.ZodType>(schema: T, text: string, what: string): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LeewardError({
      code: 'InvalidInput',
      summary: `${what} is not JSON`,
      possibleCauses: 'The file was cut off or edited by hand.',
      recommendedAction: 'Restore it or write it anew.',
      context: { what },
      cause,
    });
  }
  return parse(schema, value, what);
}

export async function readSettings<T extends z.ZodType>(schema: T, path: string): Promise<z.infer<T>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new LeewardError({
      code: 'SettingsUnreadable',
      summary: `the settings file ${path} cannot be read`,
      possibleCauses: hasCode(cause, 'ENOENT') ? 'It does not exist.' : 'Its permissions forbid it.',
      recommendedAction: 'Name the right file with --settings, or write one.',
      context: { path },
      cause,
    });
  }
  return parseJson(schema, text, path);
}

/** A switch that is set for a whole process and its children, such as a test run: any text but the empty one and 0. */
export function isSwitchedOn(name: `LEEWARD_${string}`): boolean {
  return !['', '0', undefined].includes(process.env[name]);
}
