/**
 * How the real classes are put together in a simulated world: what `src/bin` does in production, with the world's clock,
 * files, links, disks and randomness in place of the machine's.
 */
import type { Life } from '../support/simulated/clock.ts';
import type { Site, World } from './world.ts';

/** Deliberate errors, one at a time, each of which the oracle must find (`defects.test.ts`). */
export const defects = [
  'ack-before-sync',
  'forget-unacknowledged',
  'accept-old-generation',
  'cut-before-flush',
  'skip-zeroes',
] as const;
export type Defect = (typeof defects)[number];

export async function startMobilityService(world: World, site: Site, life: Life): Promise<void> {
  void [world, site, life];
}

export async function startProcessServer(world: World, life: Life): Promise<void> {
  void [world, life];
}

export async function startVault(world: World, life: Life): Promise<void> {
  void [world, life];
}
