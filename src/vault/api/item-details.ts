/**
 * What this product knows of a protected item and the reference has no field for: each disk with its state and how far its
 * comparison is, how a recovery point was taken, its RPO and churn over time, the rehearsals there were; and the order to read everything back. Operations of
 * our own, so that the reference's answers stay what their models say.
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import { readWhole } from '../../platform/files.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import { errors as vaultErrors } from '../errors.ts';
import * as history from '../store/item-history.ts';
import * as dataPlane from '../store/items.ts';
import * as points from '../store/points.ts';
import * as states from '../store/states.ts';
import { testFailoverRecords } from '../store/test-failovers.ts';
import { ItemReader } from './item-reader.ts';
import { moment } from './job-query.ts';
import { screenshotAnswerBytesMax } from './limits.ts';
import { type NounParts, notFound, resourceView, startJob, targetOf } from './noun.ts';
import type { Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { missingDisksView } from './recovery-points.ts';

export function itemDetails(parts: NounParts): Handlers {
  const { database, clock } = parts;
  const reader = new ItemReader(parts);
  const rehearsals = testFailoverRecords(database);
  const dataOf = async (itemId: ProtectedItemId) => {
    const [known, state, newest] = await Promise.all([
      dataPlane.byId(database, itemId),
      states.read(database, itemId),
      points.list(database, itemId, { limit: 1, isComplete: true }),
    ]);
    const [latest] = newest;
    return {
      itemId,
      disks: (known?.disks ?? []).map(({ diskId, path }) => ({
        sizeBytes: 0,
        state: 'empty',
        ...state.disks.find((disk) => disk.diskId === diskId),
        diskId,
        path,
      })),
      progress: state.progress,
      recoveryPointCount: await points.count(database, itemId),
      ...(latest === undefined
        ? {}
        : {
            latestRecoveryPoint: { pointId: latest.pointId, type: latest.type, takenAt: latest.takenAt },
            rpoSeconds: Math.max(0, (clock.now() - Date.parse(latest.takenAt)) / 1000),
          }),
      appliedSequence: state.position?.sequence ?? 0,
      ...(state.blocked === undefined ? {} : { blocked: state.blocked.event }),
      ...(parts.usedBytes === undefined ? {} : { usedBytes: await parts.usedBytes(itemId) }),
    };
  };
  return {
    'replicationProtectedItems.verify': async (request) => {
      const item = await reader.item(request);
      if (item.itemId === undefined) throw vaultErrors.ItemUnknown(item.friendlyName);
      const target = targetOf(item.id, item.friendlyName);
      // Not the item's own key: a failover must not wait until all is read.
      return startJob(parts, request, 'verify-item', target, { id: item.id }, `${item.id}/verify`);
    },
    'replicationDetails.get': async (request) => {
      const item = await reader.item(request);
      const { itemId } = item;
      const details =
        itemId === undefined ? { disks: [], progress: [], recoveryPointCount: 0 } : await dataOf(itemId);
      return {
        body: resourceView(childId(item.id, 'replicationDetails', 'default'), {
          friendlyName: item.friendlyName,
          processServerId: item.processServerId,
          ...details,
        }),
      };
    },
    'recoveryPointDetails.list': async (request) => {
      const item = await reader.item(request);
      if (item.itemId === undefined) return { page: [] };
      const { limit, after } = pageOf(request);
      const found = await points.list(database, item.itemId, {
        limit: limit + 1,
        ...(after === undefined ? {} : { before: points.placeOfText(after) }),
      });
      const disks = (await dataPlane.byId(database, item.itemId))?.disks ?? [];
      return {
        page: found.slice(0, limit).map(({ itemId: _, pointId, missingDisks, ...point }) =>
          resourceView(childId(item.id, 'recoveryPointDetails', pointId), {
            ...point,
            ...(missingDisks === undefined ? {} : { missingDisks: missingDisksView(missingDisks, disks) }),
          }),
        ),
        next: found.length > limit ? points.placeToText(found[limit - 1]!) : undefined,
      };
    },
    'replicationHistory.list': async (request) => {
      const item = await reader.item(request);
      if (item.itemId === undefined) return { page: [] };
      const { limit, after } = pageOf(request);
      const wish = (name: string) => moment(request.query.get(name) ?? undefined, name, name);
      const to = wish('endTime') ?? new Date(clock.now()).toISOString();
      const from = wish('startTime') ?? new Date(Date.parse(to) - historyMilliseconds).toISOString();
      const found = await history.list(database, item.itemId, {
        from: after ?? from,
        to,
        limit: limit + 1,
      });
      return {
        page: found.slice(0, limit).map(({ at, ...sample }) =>
          resourceView(childId(item.id, 'replicationHistory', at), {
            startTime: at,
            ...sample,
          }),
        ),
        next: found[limit]?.at,
      };
    },
    'testFailovers.list': async (request) => {
      const item = await reader.item(request);
      const found = item.itemId === undefined ? [] : await rehearsals.allOfItem(item.itemId, rehearsalsMax);
      return {
        page: found.map(({ failoverId, itemId: _, ...record }) =>
          resourceView(childId(item.id, 'testFailovers', failoverId), record),
        ),
      };
    },
    'testFailovers.getScreenshot': async (request) => {
      const item = await reader.item(request);
      const failoverId = request.parameters.testFailoverName!.toLowerCase();
      const id = childId(item.id, 'testFailovers', failoverId);
      const record = await rehearsals.byId(failoverId);
      if (record === undefined || record.itemId !== item.itemId) throw notFound(id);
      const image =
        record.screenshot === undefined || parts.files === undefined
          ? undefined
          : await readWhole(parts.files, record.screenshot, screenshotAnswerBytesMax);
      if (image === undefined) throw notFound(`${id}/screenshot/default`);
      return {
        body: resourceView(`${id}/screenshot/default`, {
          contentType: 'image/png',
          content: image.toString('base64'),
        }),
      };
    },
  };
}

/** What is shown of the history when nobody says from when. */
const historyMilliseconds = 24 * 3600_000;
/** The newest; a monthly rehearsal takes sixteen years to get there. */
const rehearsalsMax = 200;
