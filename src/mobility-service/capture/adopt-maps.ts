/**
 * Which saved map is whose: a map belongs to a disk that was attached all the time since it was saved, whatever path or number
 * it has now; never to another one at its place. Every other disk begins with an empty map and the reason to compare it.
 */
import { describeIdentity, judgeDisk, parseIdentity } from '../../model/disk-identity.ts';
import type { CaptureLoss } from './capture.ts';
import type { CaptureState } from './capture-state.ts';
import { ChangeMap } from './change-map.ts';

export interface AdoptingDisk {
  readonly path: string;
  /** Undefined: the machine has no such disk now. */
  readonly deviceNumber: number | undefined;
  readonly sizeBytes: number;
  readonly identity?: string | undefined;
}

export function adoptMaps(
  saved: CaptureState['disks'],
  disks: readonly AdoptingDisk[],
): { readonly maps: ChangeMap[]; readonly losses: CaptureLoss[] } {
  const losses: CaptureLoss[] = [];
  const maps = disks.map((disk, diskIndex) => {
    if (disk.deviceNumber === undefined) return new ChangeMap(disk.sizeBytes);
    const its = saved.find((each) => isUnbroken(each.identity, disk.identity));
    if (its?.deviceNumber === disk.deviceNumber && its.sizeBytes === disk.sizeBytes) {
      if (its.lost) losses.push({ cause: its.lost, detail: 'found when the service stopped', diskIndex });
      return its.map;
    }
    losses.push({ ...whyNot(its, saved, disk), diskIndex });
    return new ChangeMap(disk.sizeBytes);
  });
  return { maps, losses };
}

function whyNot(
  its: CaptureState['disks'][number] | undefined,
  saved: CaptureState['disks'],
  { path, sizeBytes, identity }: AdoptingDisk,
): Pick<CaptureLoss, 'cause' | 'detail'> {
  if (its) return { cause: 'DiskResized', detail: `${path} had ${its.sizeBytes} bytes and has ${sizeBytes}` };
  const before = saved.find((each) => each.path === path);
  if (!before) return { cause: 'InitialReplication', detail: `${path} was not recorded before` };
  const [old, young] = [parseIdentity(before.identity ?? ''), parseIdentity(identity ?? '')];
  if (!old || !young)
    return { cause: 'UncleanShutdown', detail: `of ${path} it was not noted which disk it was` };
  return {
    cause: judgeDisk(old, young) === 'same' ? 'DiskReturned' : 'DiskReplaced',
    detail: `${path} was ${describeIdentity(old)} and is ${describeIdentity(young)}`,
  };
}

function isUnbroken(before: string | undefined, now: string | undefined): boolean {
  const [old, young] = [parseIdentity(before ?? ''), parseIdentity(now ?? '')];
  return old !== undefined && young !== undefined && judgeDisk(old, young) === 'unbroken';
}
