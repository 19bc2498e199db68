/**
 * The one shape of an operating error: something a person can act on. Programmer errors are assertions instead; they
 * end the process, and the journals bring it back.
 *
 * Fields are those of the reference API's HealthError, so that every error can be shown there without translation.
 * Wrap at each house boundary with `while`; never log and throw; print the chain once, at the edge (`renderError`).
 */

export type Severity = 'warning' | 'error' | 'critical';
export type Retry = 'transient' | 'permanent';

export interface ErrorFields {
  /** Stable, from the catalogue of the house that throws it, e.g. `DiskIsMounted`. */
  readonly code: string;
  /** One sentence: what went wrong. */
  readonly summary: string;
  readonly possibleCauses: string;
  readonly recommendedAction: string;
  readonly severity?: Severity;
  /** `transient`: the same call may go through later. `permanent`: it needs a person. Default `permanent`. */
  readonly retry?: Retry;
  /** Ids, offsets and paths; never secrets. */
  readonly context?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly cause?: unknown;
}

export class LeewardError extends Error {
  readonly code: string;
  readonly summary: string;
  readonly possibleCauses: string;
  readonly recommendedAction: string;
  readonly severity: Severity;
  readonly retry: Retry;
  readonly context: Readonly<Record<string, string | number | boolean | undefined>>;

  constructor(fields: ErrorFields) {
    super(`${fields.code}: ${fields.summary}`, fields.cause === undefined ? {} : { cause: fields.cause });
    this.name = 'LeewardError';
    this.code = fields.code;
    this.summary = fields.summary;
    this.possibleCauses = fields.possibleCauses;
    this.recommendedAction = fields.recommendedAction;
    this.severity = fields.severity ?? 'error';
    this.retry = fields.retry ?? 'permanent';
    this.context = fields.context ?? {};
  }
}

/** The catalogue of a house: `const errors = catalogue({ DiskIsMounted: (path) => ({summary, …}) })`. */
export function catalogue<T extends Record<string, (...args: never[]) => Omit<ErrorFields, 'code'>>>(
  entries: T,
): { readonly [K in keyof T]: (...args: Parameters<T[K]>) => LeewardError } {
  return Object.fromEntries(
    Object.entries(entries).map(([code, make]) => [
      code,
      (...args: never[]) => new LeewardError({ code, ...make(...args) }),
    ]),
  ) as unknown as { readonly [K in keyof T]: (...args: Parameters<T[K]>) => LeewardError };
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  );
}

export function isTransient(error: unknown): boolean {
  return error instanceof LeewardError && error.retry === 'transient';
}

/** Text for a person: summary, causes, action, then the chain of causes. Called once, at the edge. */
export function renderError(error: unknown): string {
  const lines: string[] = [];
  if (error instanceof LeewardError) {
    lines.push(`${error.severity}: ${error.summary} (${error.code})`);
    lines.push(`  possible causes: ${error.possibleCauses}`);
    lines.push(`  what to do: ${error.recommendedAction}`);
    const context = Object.entries(error.context).filter(([, value]) => value !== undefined);
    if (context.length > 0)
      lines.push(`  where: ${context.map(([key, value]) => `${key}=${value}`).join(' ')}`);
  } else if (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    // What somebody typed; a stack would not help them.
    lines.push(`error: ${error.message.split('. ')[0]} (WrongUsage)`);
    lines.push('  possible causes: A misspelt option.');
    lines.push('  what to do: --help shows what there is.');
  } else {
    lines.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  for (const cause of causesOf(error)) lines.push(`  because: ${cause}`);
  return lines.join('\n');
}

/** The messages of the chain under an error, outermost first. */
export function causesOf(error: unknown): string[] {
  const found: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  // Eight levels: deeper chains are loops or noise.
  while (cause !== undefined && found.length < 8) {
    found.push(cause instanceof Error ? cause.message : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return found;
}
