/** What the demo has made, written before it is made, so that `down` finds everything whenever `up` was stopped. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../../..');
/** Shared with `make vault`, whose data lies there, too. */
export const runFolder = join(root, '.run');
/** The demo's own: state, session of the command line, screen of the proof. */
export const demoFolder = join(runFolder, 'demo');
/** What was measured. */
export const resultFile = join(runFolder, 'demo.json');
/** The command line, signed in, from where the vault is. */
export const leewardFile = join(runFolder, 'leeward');
const path = join(demoFolder, 'state.json');

export interface DemoState {
  /** Of the namespaces' names. */
  readonly id: string;
  /** Sockets, daemons' state and disks; short, because a socket's path is. */
  readonly folder: string;
}

export const protectedSiteOf = (state: DemoState) => `leeward-${state.id}-protected`;
export const vaultSiteOf = (state: DemoState) => `leeward-${state.id}-vault`;

export function readState(): DemoState | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as DemoState) : undefined;
}

export function writeState(state: DemoState): void {
  mkdirSync(demoFolder, { recursive: true, mode: 0o700 });
  writeFileSync(path, `${JSON.stringify(state, null, 2)}\n`);
}
