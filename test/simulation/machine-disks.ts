/** A simulated machine's disks as the mobility service finds, opens and watches them: `control/disks.ts` does not know the difference. */

import { placeDisks } from '../../src/mobility-service/capture/disk-identity.ts';
import { captureErrors } from '../../src/mobility-service/capture/errors.ts';
import { kernelDeviceNumber } from '../../src/mobility-service/capture/tracefs.ts';
import type { DiskAccess } from '../../src/mobility-service/control/disks.ts';
import { type DiskFacts, parseIdentity } from '../../src/model/disk-identity.ts';
import type { Life } from '../support/simulated/clock.ts';
import type { Machine } from './machine.ts';

export const diskPath = (index: number): string => `/dev/disk${index}`;

/** @param isByPath the defect: a disk is where it is, whatever is there */
export function machineDisks(machine: Machine, life: Life, isByPath: boolean): DiskAccess {
  const factsOf = (index: number): DiskFacts | undefined => {
    const { disk, sequence } = machine.slots[index]!;
    if (!disk) return undefined;
    const { bootId } = machine;
    if (isByPath) return { bootId, attachment: `seq:${index}`, sizeBytes: disk.sizeBytes };
    return { bootId, attachment: `seq:${sequence}`, wwid: disk.wwid, sizeBytes: disk.sizeBytes };
  };
  const indexOf = (path: string): number => Number(path.slice(diskPath(0).length - 1));
  return {
    find: async (assigned) => {
      const sought = assigned.map(({ path, identity }) => {
        const facts = factsOf(indexOf(path));
        return {
          atPath: facts && { name: path, facts },
          known: identity === undefined ? undefined : parseIdentity(identity),
        };
      });
      return placeDisks(sought, []).map(
        (placed) =>
          placed && { ...placed, path: placed.found.name, deviceNumber: indexOf(placed.found.name) },
      );
    },
    open: async (path) => {
      const slot = machine.slots[indexOf(path)]!;
      const { disk, sequence } = slot;
      if (!disk) throw captureErrors.DiskNotFound(path);
      const isGone = () => slot.disk !== disk || slot.sequence !== sequence;
      return {
        disk: disk.open(life, isGone),
        whole: {
          path,
          name: path,
          deviceNumber: kernelDeviceNumber(0, indexOf(path)),
          hasRangedDiscards: false,
        },
      };
    },
    watch: ({ deviceNumber, found }) => {
      const { attachment, sizeBytes } = found.facts;
      return () => {
        const now = factsOf(deviceNumber);
        if (!now) return { cause: 'DiskReturned', detail: 'simulated: it is gone' };
        if (now.attachment !== attachment)
          return { cause: 'DiskReplaced', detail: 'simulated: attached anew' };
        if (now.sizeBytes !== sizeBytes) return { cause: 'DiskResized', detail: 'simulated: it has grown' };
        return undefined;
      };
    },
    fingerprint: async () => machine.slots.map((_, index) => JSON.stringify(factsOf(index) ?? null)).join(),
  };
}
