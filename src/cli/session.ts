/**
 * Whom the command line talks to and as whom: what `leeward sign-in` kept, overridden by the `LEEWARD_*` variables that
 * `make vault` writes. The secret comes from a file or the environment, never from an argument, and the kept file is the
 * user's alone.
 */
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { hasCode, LeewardError } from '../platform/errors.ts';
import { parseJson } from '../platform/settings.ts';

export const Session = z.strictObject({
  url: z.url({ protocol: /^https$/ }),
  /** PEM of the authority that signed the vault's certificate; undefined: the machine's own trust. */
  caFile: z.string().optional(),
  tenantId: z.guid(),
  clientId: z.string().min(1),
  clientSecret: z.string().min(1),
  subscriptionId: z.guid(),
  resourceGroup: z.string().min(1),
  vault: z.string().min(1).optional(),
});
export type Session = z.infer<typeof Session>;

const variables: { readonly [K in keyof Session]-?: string } = {
  url: 'LEEWARD_URL',
  caFile: 'LEEWARD_CA_FILE',
  tenantId: 'LEEWARD_TENANT_ID',
  clientId: 'LEEWARD_CLIENT_ID',
  clientSecret: 'LEEWARD_CLIENT_SECRET',
  subscriptionId: 'LEEWARD_SUBSCRIPTION_ID',
  resourceGroup: 'LEEWARD_RESOURCE_GROUP',
  vault: 'LEEWARD_VAULT',
};

export type Environment = Readonly<Record<string, string | undefined>>;

/** `$XDG_CONFIG_HOME/leeward/session.json`, or under `~/.config`. */
export function sessionPath(environment: Environment): string {
  return `${environment.XDG_CONFIG_HOME ?? `${environment.HOME ?? '/root'}/.config`}/leeward/session.json`;
}

/** What is known so far; the environment wins over the file. Throws `NotSignedIn` when something is missing. */
export async function currentSession(environment: Environment): Promise<Session> {
  const path = sessionPath(environment);
  const kept = await readKept(path);
  const merged: Record<string, unknown> = { ...kept };
  for (const [key, name] of Object.entries(variables))
    if (environment[name] !== undefined && environment[name] !== '') merged[key] = environment[name];
  const result = Session.safeParse(merged);
  if (result.success) return result.data;
  const missing = result.error.issues.map((issue) => variables[issue.path[0] as keyof Session]);
  throw new LeewardError({
    code: 'NotSignedIn',
    summary: `it is not known which vault to ask, or as whom: ${[...new Set(missing)].join(', ')} missing or malformed`,
    possibleCauses: `Nobody signed in on this account (${path}), and the environment does not say it either.`,
    recommendedAction:
      'Run `leeward sign-in --env .run/vault.env` with the file that the vault wrote, or load that file into the shell.',
    context: { path },
  });
}

export async function keepSession(environment: Environment, session: Session): Promise<string> {
  const path = sessionPath(environment);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, `${JSON.stringify(session, null, 2)}\n`, { mode: 0o600 });
  // `mode` counts only for a file that was not there.
  await chmod(path, 0o600);
  return path;
}

export async function forgetSession(environment: Environment): Promise<void> {
  await rm(sessionPath(environment), { force: true });
}

/** `NAME=value` lines, as `make vault` writes them; quotes are taken off. */
export function sessionFromEnvironmentFile(text: string): Environment {
  return Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const match = /^\s*(?:export\s+)?(LEEWARD_[A-Z_]+)=(.*)$/.exec(line);
      return match ? [[match[1]!, match[2]!.trim().replace(/^(['"])(.*)\1$/, '$2')]] : [];
    }),
  );
}

async function readKept(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return {};
    throw error;
  }
  try {
    return parseJson(Session.partial(), text, path);
  } catch (cause) {
    throw new LeewardError({
      code: 'SessionUnreadable',
      summary: `what was kept of the last sign-in cannot be read: ${path}`,
      possibleCauses: 'It was cut off, or edited by hand.',
      recommendedAction: 'Run `leeward sign-out`, then sign in again.',
      cause,
    });
  }
}
