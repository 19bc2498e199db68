/** What lies under a protected item: its recovery points and the sizes its machine may be given; and what runs at all. */
import type { RecoveryPointId } from '../../model/ids.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import { disksMax } from '../../protocol/replication/messages.ts';
import * as points from '../store/points.ts';
import type { ItemResource } from '../store/protected-items.ts';
import { isComplete, type ProtectedItem, type RecoveryPoint } from '../store/vault-store.ts';
import { sizes } from './compute-sizes.ts';
import { ItemReader } from './item-reader.ts';
import { type NounParts, notFound, pageOfAll, resourceView, vaultOf } from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';

/**
 * A point that lacks disks has a type of its own: a client that looks for the newest of the two types that it knows passes it
 * over. Which disks they are, `recoveryPointDetails` says; this model has no field for it.
 */
const pointView = (
  item: ItemResource,
  point: Pick<RecoveryPoint, 'pointId' | 'takenAt' | 'type' | 'missingDisks'>,
): unknown =>
  resourceView(childId(item.id, 'recoveryPoints', point.pointId), {
    recoveryPointTime: point.takenAt,
    recoveryPointType: isComplete(point) ? point.type : `${point.type}Partial`,
    // A bookmark is one machine's; groups that are frozen together come with multi-VM consistency.
    providerSpecificDetails: { instanceType: item.instanceType, isMultiVmSyncPoint: 'No' },
  });

/** With the path by which people know the disk. */
export const missingDisksView = (
  missing: NonNullable<RecoveryPoint['missingDisks']>,
  disks: ProtectedItem['disks'],
) =>
  missing.map(({ diskId, cause }) => ({
    diskId,
    path: disks.find((disk) => disk.diskId === diskId)?.path ?? '',
    cause,
  }));

export function recoveryPoints(parts: NounParts): Handlers {
  const { database } = parts;
  const reader = new ItemReader(parts);
  return {
    'recoveryPoints.listByReplicationProtectedItems': async (request) => {
      const item = await reader.item(request);
      if (item.itemId === undefined) return { page: [] };
      const { limit, after } = pageOf(request);
      const found = await points.list(database, item.itemId, {
        limit: limit + 1,
        ...(after === undefined ? {} : { before: points.placeOfText(after) }),
      });
      return {
        page: found.slice(0, limit).map((point) => pointView(item, point)),
        next: found.length > limit ? points.placeToText(found[limit - 1]!) : undefined,
      };
    },
    'recoveryPoints.get': async (request) => {
      const item = await reader.item(request);
      const name = request.parameters.recoveryPointName!;
      const point =
        item.itemId && (await points.byId(database, item.itemId, name.toLowerCase() as RecoveryPointId));
      if (point === undefined) throw notFound(childId(item.id, 'recoveryPoints', name));
      return { body: pointView(item, point) };
    },
    'targetComputeSizes.listByReplicationProtectedItems': async (request) => {
      const item = await reader.item(request);
      return pageOfAll(request, sizes, ({ name, cpuCount, memoryGibibytes }) => ({
        ...resourceView(childId(item.id, 'targetComputeSizes', name), {
          name,
          friendlyName: `${cpuCount} processors, ${memoryGibibytes} GiB`,
          cpuCoresCount: cpuCount,
          vCPUsAvailable: cpuCount,
          memoryInGB: memoryGibibytes,
          // Beside the one that it boots from.
          maxDataDiskCount: disksMax - 1,
          maxNicsCount: 1,
          errors: [],
          highIopsSupported: 'Yes',
          hyperVGenerations: ['V1', 'V2'],
        }),
      }));
    },
    'supportedOperatingSystems.get': async (request) => ({ body: supportedSystems(request) }),
  };
}

/** The mobility service needs tracefs with the block events, and systemd; these have both and were tried or are built alike. */
const systems: readonly (readonly [string, readonly string[]])[] = [
  ['Debian', ['11', '12', '13']],
  ['Ubuntu', ['20.04', '22.04', '24.04']],
  ['RHEL', ['8', '9', '10']],
  ['Rocky Linux', ['8', '9', '10']],
  ['AlmaLinux', ['8', '9', '10']],
  ['SLES', ['15']],
];

function supportedSystems(request: ArmRequest): unknown {
  const wish = request.query.get('instanceType');
  const kinds = ['InMageAzureV2', 'InMageRcm'].filter(
    (kind) => wish === null || wish === '' || kind.toLowerCase() === wish.toLowerCase(),
  );
  return resourceView(childId(vaultOf(request), 'replicationSupportedOperatingSystems', 'default'), {
    supportedOsList: kinds.map((instanceType) => ({
      instanceType,
      supportedOs: systems.map(([osName, versions]) => ({
        osName,
        osType: 'Linux',
        osVersions: versions.map((version) => ({ version, servicePack: '' })),
      })),
    })),
  });
}
