/**
 * The command line as a person at the vault's site uses it: `.run/leeward …`, a script that enters the site's network and has
 * a session of the demo's own. The demo itself types the same commands, and shows them.
 */
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Site } from '../../../test/support/namespaces.ts';
import { note } from './progress.ts';
import { demoFolder, leewardFile, root } from './state.ts';

export function writeLeeward(site: Site): void {
  writeFileSync(
    leewardFile,
    `#!/bin/sh
# leeward, signed in to the demo's vault, from the site that the vault is at. Made by make demo, removed by make demo-down.
unset LEEWARD_URL LEEWARD_CA_FILE LEEWARD_TENANT_ID LEEWARD_CLIENT_ID LEEWARD_CLIENT_SECRET
unset LEEWARD_SUBSCRIPTION_ID LEEWARD_RESOURCE_GROUP LEEWARD_VAULT
export XDG_CONFIG_HOME='${demoFolder}' LEEWARD_COMMAND="\${SUDO_USER:+sudo }$0"
exec ${site.networkPrefix.join(' ')} '${process.execPath}' '${join(root, 'src/bin/leeward.ts')}' "$@"
`,
  );
  chmodSync(leewardFile, 0o755);
}

export interface LeewardOptions {
  /** Told the last line of what it says while it works. */
  readonly say?: (line: string) => void;
  readonly timeoutMilliseconds?: number;
  /** Asked again and again: not shown. */
  readonly isQuiet?: boolean;
}

/** Answers what the command printed; throws with what it said when it did not succeed. */
export async function leeward(
  args: readonly string[],
  { say, timeoutMilliseconds = 60_000, isQuiet = false }: LeewardOptions = {},
): Promise<string> {
  const typed = args.map((word) => (/^[\w./:=-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  if (!isQuiet) note(`$ leeward ${typed.replace(/^--output json /, '')}`);
  const child = spawn(leewardFile, [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMilliseconds,
  });
  let printed = '';
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const line = said.trimEnd().split('\n').at(-1)?.trim();
    if (line) say?.(line);
  });
  const code = await new Promise<number | string>((done, failed) => {
    child.once('error', failed);
    child.once('close', (exitCode, signal) => done(exitCode ?? signal ?? 'nothing'));
  });
  if (code !== 0) throw new Error(`leeward ${typed} ended with ${code}:\n${said}${printed}`.trim());
  return printed;
}

/** The same for programs. */
export async function leewardJson<T>(args: readonly string[], options?: LeewardOptions): Promise<T> {
  return JSON.parse(await leeward(['--output', 'json', ...args], options)) as T;
}
