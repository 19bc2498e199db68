/**
 * What the nouns of the command line share. A verb names an operation of the API (`protocol/arm/description.ts`) and how
 * its answer looks; which fabric and container a thing lies in is looked up, so that people type one name.
 *
 *     leeward <noun> <verb> [name] ─▶ resource id ─▶ operation ─▶ table | json, or a job that is followed with --wait
 */
import { text as readStream } from 'node:stream/consumers';
import { Command, InvalidArgumentError } from 'commander';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Api, Resource } from '../api.ts';
import { readText } from '../input.ts';
import type { JobView } from '../job-view.ts';
import { type OutputForm, print, renderTable } from '../output.ts';

export interface NounContext {
  /** Signs in when it is first asked. */
  readonly api: () => Promise<Api>;
  readonly output: () => OutputForm;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /**
   * Follows a job and sets the exit code: 0 succeeded, 3 failed, 4 cancelled, 5 waits for somebody, 6 `CompletedWithInformation`. Answers what it came to;
   * undefined: nobody waited.
   */
  readonly follow: (jobId: string, options: { readonly wait: boolean }) => Promise<JobView | undefined>;
}

export interface Column {
  readonly heading: string;
  readonly value: (resource: Resource) => string;
}

/** `at(item, 'providerSpecificDetails.rpoInSeconds')`, under `properties`; `-` where there is nothing. */
export function at(resource: Resource, path: string): string {
  const value = valueAt(resource, path);
  if (value === undefined || value === null || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

export function valueAt(resource: Resource, path: string): unknown {
  let value: unknown = resource.properties;
  for (const key of path.split('.'))
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  return value;
}

export const column = (heading: string, path: string): Column => ({
  heading,
  value: (resource) => at(resource, path),
});
export const nameColumn: Column = { heading: 'NAME', value: ({ name }) => name ?? '-' };

export function printList(
  context: NounContext,
  rows: readonly Resource[],
  columns: readonly Column[],
  empty: string,
  next?: string,
): void {
  print(
    context.output(),
    rows,
    () =>
      rows.length === 0
        ? empty
        : renderTable(
            columns.map(({ heading }) => heading),
            rows.map((row) => columns.map(({ value }) => value(row))),
          ),
    next,
  );
}

/** Everything a resource says, indented, empty values left out. */
export function printOne(context: NounContext, resource: Resource, next?: string): void {
  print(context.output(), resource, () => outline(resource).join('\n'), next);
}

function outline(value: unknown, indent = ''): string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${String(value)}`];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (inner === null || inner === undefined || inner === '') return [];
    if (Array.isArray(inner)) {
      if (inner.length === 0) return [];
      return inner.every((item) => typeof item !== 'object')
        ? [`${indent}${key}: ${inner.join(', ')}`]
        : [
            `${indent}${key}:`,
            ...inner.flatMap((item) => [`${indent}  -`, ...outline(item, `${indent}    `)]),
          ];
    }
    if (typeof inner === 'object') {
      const lines = outline(inner, `${indent}  `);
      return lines.length === 0 ? [] : [`${indent}${key}:`, ...lines];
    }
    return [`${indent}${key}: ${String(inner)}`];
  });
}

/** A body given as a file, or `-` for standard input. */
export async function readBody(path: string): Promise<unknown> {
  const text =
    path === '-'
      ? await readStream(process.stdin)
      : await readText(path, 'Name a file with JSON in it, or - for standard input.');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new LeewardError({
      code: 'InvalidInput',
      summary: `${path === '-' ? 'standard input' : path} is not JSON`,
      possibleCauses: 'It was cut off or edited by hand.',
      recommendedAction: 'Correct it; `leeward <noun> show <name> --output json` shows the form.',
      cause,
    });
  }
}

/**
 * The one resource of this name or friendly name among `rows`, in any case. Throws when there is none, or several (then
 * with their ids, which may be given instead of the name).
 */
export function choose(rows: readonly Resource[], wish: string, kind: string): Resource {
  const wanted = wish.toLowerCase();
  const found = rows.filter(
    (row) =>
      row.id?.toLowerCase() === wanted ||
      row.name?.toLowerCase() === wanted ||
      String(row.properties?.friendlyName ?? '').toLowerCase() === wanted,
  );
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new LeewardError({
      code: 'NameIsAmbiguous',
      summary: `${found.length} ${kind}s are called ${wish}`,
      possibleCauses: 'They lie in different fabrics, or two machines have the same name.',
      recommendedAction: `Give the id instead: ${found.map(({ id }) => id).join(' or ')}`,
    });
  throw new LeewardError({
    code: 'NothingOfThatName',
    summary: `there is no ${kind} called ${wish}`,
    possibleCauses:
      rows.length === 0
        ? `This vault has no ${kind} at all, or your role does not let you see them.`
        : 'The name is misspelt, or it belongs to another vault.',
    recommendedAction:
      rows.length === 0
        ? 'Look at the vault you are signed in to: `leeward session show`.'
        : `There are: ${rows
            .slice(0, 20)
            .map((row) => String(row.properties?.friendlyName ?? row.name))
            .join(', ')}`,
  });
}

/** For options and arguments that are numbers; without it a slip of the finger would be sent as nothing at all. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        most === Number.MAX_SAFE_INTEGER
          ? `A whole number from ${least} is expected.`
          : `A whole number from ${least} to ${most} is expected.`,
      );
    return value;
  };

/** A noun's command, with its help in order. */
export function noun(program: Command, name: string, description: string): Command {
  const command = new Command(name).description(description).copyInheritedSettings(program);
  program.addCommand(command);
  return command;
}
