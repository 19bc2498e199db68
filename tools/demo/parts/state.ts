/** What the demo has made, written before it is made, so that `down` finds everything whenever `up` was stopped. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../../..');
export const runFolder = join(root, '.run');
const path = join(runFolder, 'state.json');

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
  mkdirSync(runFolder, { recursive: true });
  writeFileSync(path, `${JSON.stringify(state, null, 2)}\n`);
}
