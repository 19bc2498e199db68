/** What every store of the vault's records must do. */
import type { TestFn } from 'ava';
import type { HealthEvent } from '../../src/model/health.ts';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../src/model/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { Advance, ProtectedItem, RecoveryPoint, VaultStore } from '../../src/vault/store/vault-store.ts';

const uuid = () => systemRandom.uuid();

export function exampleItem(name: string): ProtectedItem {
  return {
    itemId: uuid() as ProtectedItemId,
    name,
    processServer: 'ps1',
    disks: [{ diskId: uuid() as ProtectedDiskId, path: '/dev/vda' }],
    retention: { rules: [{ untilSeconds: 7200, everySeconds: 0 }] },
    createdAt: '2026-01-02T03:04:05.678Z',
  };
}

const event = (code: string): HealthEvent => ({
  code,
  severity: 'warning',
  summary: 'Sömething',
  possibleCauses: 'A cause.',
  recommendedAction: 'An action.',
  raisedAt: '2026-01-02T03:04:05.000Z',
  context: { count: 3, flag: true, text: 'x' },
});

export function vaultStoreSuite(test: TestFn, name: string, open: () => Promise<VaultStore>): void {
  const code = (error: unknown) => (error as { code?: string } | undefined)?.code;

  test(`${name}: an item comes back as it was added, and its name and id are taken`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.from([1, 2, 0, 255]));
    t.deepEqual(await store.item(item.itemId), item);
    t.deepEqual(Buffer.from((await store.sealedKey(item.itemId))!), Buffer.from([1, 2, 0, 255]));
    t.is(
      code(await t.throwsAsync(store.addItem(exampleItem('web'), Buffer.alloc(1)))),
      'ItemAlreadyProtected',
    );
    t.is(
      code(await t.throwsAsync(store.addItem({ ...item, name: 'other' }, Buffer.alloc(1)))),
      'ItemAlreadyProtected',
    );
    t.is(await store.item(uuid() as ProtectedItemId), undefined);
  });

  test(`${name}: items are listed in pages by name`, async (t) => {
    const store = await open();
    for (const item of ['c', 'a', 'b', 'd']) await store.addItem(exampleItem(item), Buffer.alloc(1));
    const names = async (page: { after?: string; limit: number }) =>
      (await store.listItems(page)).map((item) => item.name);
    t.deepEqual(await names({ limit: 2 }), ['a', 'b']);
    t.deepEqual(await names({ after: 'b', limit: 9 }), ['c', 'd']);
  });

  test(`${name}: advancing changes position, disks, progress, events and point together, and may be repeated`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    t.deepEqual(await store.state(item.itemId), { disks: [], progress: [], changedBytes: 0 });
    const diskId = item.disks[0]!.diskId;
    const point: RecoveryPoint = {
      pointId: uuid() as RecoveryPointId,
      itemId: item.itemId,
      type: 'ApplicationConsistent',
      method: 'freeze',
      takenAt: '2026-01-02T03:04:05.678Z',
      processedAt: '2026-01-02T03:04:09.001Z',
      frozenMilliseconds: 41.5,
      heldMilliseconds: 12.25,
      sizeBytes: 2 ** 45,
      changedBytes: 12_345_678_901_234,
      chain: 7,
      sequence: 3,
    };
    const advance: Advance = {
      position: {
        chain: 7,
        sequence: 3,
        digest: 'ab'.repeat(32),
        generation: 9,
        archiveBytes: 1234,
        appliedAt: '2026-01-02T03:04:09.002Z',
      },
      disks: [
        { diskId, sizeBytes: 2 ** 45, state: 'in-sync' },
        { diskId: uuid() as ProtectedDiskId, sizeBytes: 4096, state: 'resync', cause: 'TraceEventsLost' },
      ],
      progress: [
        {
          diskId,
          kind: 'resync',
          cause: 'Requested',
          doneBytes: 1,
          sentBytes: 2,
          totalBytes: 3,
          startedAt: '2026-01-02T03:04:05.000Z',
          etaSeconds: 1.5,
        },
      ],
      events: [event('One')],
      changedBytes: 77,
      point,
    };
    await store.block(item.itemId, { chain: 7, event: event('Stopped') });
    t.is((await store.state(item.itemId)).blocked?.event.code, 'Stopped');
    await store.advance(item.itemId, advance);
    await store.advance(item.itemId, advance);
    t.deepEqual(await store.state(item.itemId), {
      position: advance.position,
      disks: advance.disks,
      progress: advance.progress,
      changedBytes: 77,
    } as never);
    t.deepEqual(await store.listPoints(item.itemId, { limit: 10 }), [point]);
    t.deepEqual(await store.point(item.itemId, point.pointId), point);
    t.is((await store.listEvents({ itemId: item.itemId, limit: 10 })).at(-1)?.event.code, 'Stopped');
    await store.lockPoint(item.itemId, point.pointId, '2027-01-01T00:00:00.000Z');
    t.is((await store.point(item.itemId, point.pointId))?.lockedUntil, '2027-01-01T00:00:00.000Z');
    await store.lockPoint(item.itemId, point.pointId, undefined);
    t.deepEqual(await store.point(item.itemId, point.pointId), point);
    await store.removePoint(item.itemId, point.pointId);
    t.is(await store.point(item.itemId, point.pointId), undefined);
    t.is(
      code(await t.throwsAsync(store.lockPoint(item.itemId, point.pointId, undefined))),
      'RecoveryPointGone',
    );
  });

  test(`${name}: a fenced item cannot advance until the fence is lifted, and is where it was then`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    const advance: Advance = {
      position: {
        ...{ chain: 1, sequence: 1, digest: null, generation: 1, archiveBytes: 0 },
        appliedAt: '2026-01-02T03:04:09.002Z',
      },
      ...{ disks: [], progress: [], events: [], changedBytes: 0 },
    };
    await store.advance(item.itemId, advance);
    const fence = { failoverId: uuid(), fencedAt: '2026-01-02T03:05:00.000Z' };
    await store.fence(item.itemId, fence);
    await store.fence(item.itemId, { ...fence, fencedAt: '2026-01-02T03:06:00.000Z' });
    const fenced = await store.state(item.itemId);
    t.deepEqual(fenced.fence, fence, 'the same failover fences once');
    const next = { ...advance, position: { ...advance.position, sequence: 2 }, events: [event('Late')] };
    t.is(code(await t.throwsAsync(store.advance(item.itemId, next))), 'ItemFenced');
    t.deepEqual(await store.state(item.itemId), fenced, 'nothing of it was kept');
    t.deepEqual(await store.listEvents({ itemId: item.itemId, limit: 10 }), []);
    await store.liftFence(item.itemId, '2026-01-02T04:00:00.000Z');
    await store.liftFence(item.itemId, '2026-01-02T04:00:00.000Z');
    await store.advance(item.itemId, next);
    t.is((await store.state(item.itemId)).position?.sequence, 2);
    await store.fence(item.itemId, { ...fence, failoverId: uuid() });
    t.is(code(await t.throwsAsync(store.advance(item.itemId, next))), 'ItemFenced', 'and again');
  });

  test(`${name}: points are listed in the order of the chain, not of their dates`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    // In the order of the chain; the machine's clock was stepped back between the first two.
    const taken = [
      { chain: 1, sequence: 9, takenAt: '2026-01-02T05:00:00.000Z' },
      { chain: 1, sequence: 10, takenAt: '2026-01-02T04:00:00.000Z' },
      { chain: 2, sequence: 1, takenAt: '2026-01-02T04:00:00.000Z' },
    ];
    const ids: string[] = [];
    for (const [index, { takenAt, ...place }] of taken.entries()) {
      const appliedAt = `2026-01-02T06:0${index}:00.000Z`;
      const point: RecoveryPoint = {
        pointId: uuid() as RecoveryPointId,
        itemId: item.itemId,
        ...{ type: 'CrashConsistent', method: 'quiet', takenAt, processedAt: appliedAt, ...place },
        ...{ frozenMilliseconds: 0, sizeBytes: 1, changedBytes: 1 },
      };
      ids.unshift(point.pointId);
      await store.advance(item.itemId, {
        position: { ...place, digest: null, generation: 2, archiveBytes: 0, appliedAt },
        ...{ disks: [], progress: [], events: [], changedBytes: 0, point },
      });
    }
    const listed = async (page: Parameters<typeof store.listPoints>[1]) =>
      (await store.listPoints(item.itemId, page)).map(({ pointId }) => pointId as string);
    t.deepEqual(await listed({ limit: 10 }), ids);
    t.deepEqual(await listed({ limit: 2 }), ids.slice(0, 2));
    t.deepEqual(await listed({ limit: 2, before: taken[2]! }), ids.slice(1));
    t.deepEqual(await listed({ limit: 2, before: taken[1]! }), ids.slice(2));
  });

  test(`${name}: a point says which disks it lacks, and those that have all are found among many that do not`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    const missingDisks = [{ diskId: item.disks[0]!.diskId, cause: 'unreadable' as const }];
    const ids: RecoveryPointId[] = [];
    for (let sequence = 1; sequence <= 6; sequence++) {
      const at = `2026-01-02T06:0${sequence}:00.000Z`;
      ids.push(uuid() as RecoveryPointId);
      await store.advance(item.itemId, {
        position: { chain: 1, sequence, digest: null, generation: 1, archiveBytes: 0, appliedAt: at },
        ...{ disks: [], progress: [], events: [], changedBytes: 0 },
        point: {
          ...{ pointId: ids.at(-1)!, itemId: item.itemId, type: 'CrashConsistent', method: 'quiet' },
          ...{ takenAt: at, processedAt: at, frozenMilliseconds: 0, sizeBytes: 1, changedBytes: 1 },
          ...{ chain: 1, sequence },
          ...(sequence === 1 || sequence === 3 ? {} : { missingDisks }),
        },
      });
    }
    t.deepEqual((await store.point(item.itemId, ids[5]!))?.missingDisks, missingDisks);
    t.false('missingDisks' in (await store.point(item.itemId, ids[0]!))!);
    const complete = async (page: { limit: number; before?: { chain: number; sequence: number } }) =>
      (await store.listPoints(item.itemId, { ...page, isComplete: true })).map(({ pointId }) =>
        ids.indexOf(pointId),
      );
    t.deepEqual(await complete({ limit: 9 }), [2, 0]);
    t.deepEqual(await complete({ limit: 1 }), [2]);
    t.deepEqual(await complete({ limit: 9, before: { chain: 1, sequence: 3 } }), [0]);
  });

  test(`${name}: a pause is an event, and ends without a trace`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    await store.pause(item.itemId, event('Full'));
    await store.pause(item.itemId, undefined);
    await store.pause(item.itemId, undefined);
    t.deepEqual(
      (await store.listEvents({ itemId: item.itemId, limit: 9 })).map((each) => each.event.code),
      ['Full'],
    );
    t.is(code(await t.throwsAsync(store.pause(uuid() as ProtectedItemId, event('x')))), 'ItemUnknown');
  });

  test(`${name}: a removed item leaves nothing and can be added again`, async (t) => {
    const store = await open();
    const item = exampleItem('web');
    await store.addItem(item, Buffer.alloc(1));
    await store.addEvents(item.itemId, [event('One')]);
    await store.removeItem(item.itemId);
    await store.removeItem(item.itemId);
    t.deepEqual(await store.listEvents({ limit: 10 }), []);
    t.is(code(await t.throwsAsync(store.state(item.itemId))), 'ItemUnknown');
    t.is(code(await t.throwsAsync(store.block(item.itemId, { chain: 1, event: event('x') }))), 'ItemUnknown');
    await store.addItem(item, Buffer.alloc(1));
    t.deepEqual((await store.state(item.itemId)).disks, []);
  });

  test(`${name}: events are paged newest first and trimmed per item`, async (t) => {
    const store = await open();
    const [a, b] = [exampleItem('a'), exampleItem('b')];
    await store.addItem(a, Buffer.alloc(1));
    await store.addItem(b, Buffer.alloc(1));
    for (let n = 0; n < 5; n++) await store.addEvents(a.itemId, [event(`A${n}`)]);
    await store.addEvents(b.itemId, [event('B')]);
    const first = await store.listEvents({ itemId: a.itemId, limit: 2 });
    t.deepEqual(
      first.map((e) => e.event.code),
      ['A4', 'A3'],
    );
    t.deepEqual(first[0]?.event, event('A4'));
    const next = await store.listEvents({ itemId: a.itemId, before: first[1]!.eventId, limit: 2 });
    t.deepEqual(
      next.map((e) => e.event.code),
      ['A2', 'A1'],
    );
    await store.trimEvents(2);
    t.deepEqual(
      (await store.listEvents({ limit: 10 })).map((e) => e.event.code),
      ['B', 'A4', 'A3'],
    );
  });
}
