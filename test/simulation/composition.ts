/**
 * How the real classes are put together in a simulated world: what `src/bin` does in production, with the world's clock,
 * files, links, disks and randomness in place of the machine's. Here also sit the deliberate defects.
 */
import type { Capture } from '../../src/mobility-service/capture/capture.ts';
import { openDisks, untilOthersCome } from '../../src/mobility-service/control/disks.ts';
import { isOfDisks, Replication } from '../../src/mobility-service/control/replication.ts';
import { ServiceState } from '../../src/mobility-service/control/state.ts';
import { inlinePacker } from '../../src/mobility-service/drain/pack.ts';
import type { ProtectedDiskId, ProtectedItemId } from '../../src/model/ids.ts';
import { hasCode, LeewardError } from '../../src/platform/errors.ts';
import type { Files, OpenFile } from '../../src/platform/files.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { standardLimits } from '../../src/process-server/limits.ts';
import { ProcessServer } from '../../src/process-server/server.ts';
import { FolderStore } from '../../src/protocol/cache/folder-store.ts';
import { inlineSealer } from '../../src/protocol/cache/segment.ts';
import { ProcessServerAssignment } from '../../src/protocol/control/assignment.ts';
import { type Frame, FrameType } from '../../src/protocol/replication/frame.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import { Archive } from '../../src/vault/log-processor/archive.ts';
import { ItemProcessor } from '../../src/vault/log-processor/item-processor.ts';
import { LogProcessor } from '../../src/vault/log-processor/log-processor.ts';
import { Retention } from '../../src/vault/reconcilers/retention.ts';
import { ReflinkStore } from '../../src/vault/replica/reflink-store.ts';
import type { ReplicaStore } from '../../src/vault/replica/replica-store.ts';
import type { Advance, VaultStore } from '../../src/vault/store/vault-store.ts';
import { openAll, openCapture } from '../support/simulated/capture.ts';
import { type Life, never, SimulatedClock } from '../support/simulated/clock.ts';
import { CacheRoad } from './cache-road.ts';
import { reachedBy } from './house.ts';
import { diskPath, machineDisks } from './machine-disks.ts';
import { runStandIn } from './stand-in-service.ts';
import type { Site, World } from './world.ts';

/** Deliberate errors, one at a time, each of which the oracle must find (`defects.test.ts`). */
export const defects = [
  'ack-before-sync',
  'forget-unacknowledged',
  'trust-after-crash',
  'accept-old-generation',
  'cut-before-flush',
  'skip-zeroes',
  'maps-by-path',
  'miss-disk-silently',
] as const;
export type Defect = (typeof defects)[number];

export async function startMobilityService(world: World, site: Site, life: Life): Promise<void> {
  const { machine } = site;
  const random = world.random.fork(`service/${machine.name}/${world.timeline.moment}`);
  const files = machine.drive.files(life);
  const clock = new SimulatedClock(world.timeline, life, machine.wall);
  const log = world.log.for(machine.name);
  // Disks are small here: what is packed begins earlier.
  const packer = inlinePacker(8 << 10);
  const common = { clock, random, log, packer, freezer: machine.freezer(life) };
  const dial = () => world.dial(site, machine, life);
  const ring = { ring: machine.ring, timeline: world.timeline, random: random.fork('capture'), life };
  if (world.options.service === 'stand-in') {
    const { itemId, diskIds } = site;
    const { disks, captured } = openAll(machine.disks, life);
    const { capture } = await openCapture(ring, files, machine.bootId, captured);
    await runStandIn({ ...common, capture, itemId, diskIds, disks, files, bootId: machine.bootId, dial });
    return;
  }
  const { defect } = world.options;
  const stop = new AbortController();
  site.house.stop = () => stop.abort();
  const assignment = {
    disks: site.diskIds.map((diskId, index) => ({
      diskId: diskId as ProtectedDiskId,
      path: diskPath(index),
    })),
  };
  const wasMissing = new Set<string>();
  while (!stop.signal.aborted) {
    const { bootId } = machine;
    const state = await ServiceState.load(files, '/leeward', clock, bootId);
    const access = machineDisks(machine, life, defect === 'maps-by-path');
    await using devices = new AsyncDisposableStack();
    const parts = { state, bootId, clock, access, log };
    const opened = await openDisks(assignment, { ...parts, devices, wasMissing });
    const { capture, startLosses } = await openCapture(
      ring,
      files,
      bootId,
      opened.map(({ captured }) => captured),
    );
    const replication = new Replication({
      ...common,
      capture: defect === 'forget-unacknowledged' ? forgetful(capture) : capture,
      state,
      itemId: site.itemId as ProtectedItemId,
      hostName: machine.name,
      agentVersion: '0.0.0',
      disks: opened.map(({ disk }) => disk),
      startLosses: defect === 'trust-after-crash' ? [] : startLosses,
      policy: { crashConsistentSeconds: 10, applicationConsistentSeconds: 45, freezeMillisecondsMax: 1000 },
      dial: defect === 'miss-disk-silently' ? async () => silentOfMissing(await dial()) : dial,
    });
    for (const { disk, events } of opened)
      for (const event of events) replication.health.raise(event, { diskId: disk.diskId });
    const over = new AbortController();
    const again = new AbortController();
    void untilOthersCome(opened, assignment, parts, over.signal, () => again.abort());
    try {
      await replication.run(AbortSignal.any([stop.signal, again.signal]));
    } catch (error) {
      if (!(error instanceof LeewardError) || !isOfDisks(error)) {
        // Only a person brings it back (`World.cloneMachine`); a supervisor that did so would have two services take turns.
        if (!hasCode(error, 'SessionFenced', 'OldGeneration', 'ItemHalted')) throw error;
        log.warn('stands still until somebody acts', { error });
        return;
      }
    } finally {
      over.abort();
    }
    await capture.save(files, bootId);
  }
}

/** Defect: bookmarks and hellos do not say that a disk is missing. */
function silentOfMissing(link: Link): Link {
  const without = (frame: Frame): Frame => {
    const said = JSON.parse(Buffer.from(frame.payload).toString()) as Record<string, unknown>;
    if (frame.type === FrameType.hello)
      said.disks = (said.disks as Record<string, unknown>[]).map(({ isMissing: _, ...disk }) => disk);
    else delete said.missingDisks;
    const payload = Buffer.from(JSON.stringify(said));
    return { ...frame, payload };
  };
  return {
    peerName: link.peerName,
    close: (reason) => link.close(reason),
    send: (frame) =>
      link.send(frame.type === FrameType.hello || frame.type === FrameType.bookmark ? without(frame) : frame),
    frames: () => link.frames(),
  };
}

export async function startProcessServer(world: World, life: Life): Promise<void> {
  const random = world.random.fork(`process-server/${world.timeline.moment}`);
  const files = world.processServerDrive.files(life);
  await files.makeFolder('/process-server');
  const server = new ProcessServer({
    files: world.options.defect === 'ack-before-sync' ? lyingFiles(files) : files,
    clock: new SimulatedClock(world.timeline, life, world.siteWall),
    random: random.fork('server'),
    log: world.log.for('process-server'),
    store: new CacheRoad({
      timeline: world.timeline,
      random: random.fork('road'),
      life,
      end: {
        at: () => {
          const vault = world.vault.life;
          return world.cache && vault && !vault.hasEnded ? { store: world.cache, life: vault } : undefined;
        },
      },
      faults: world.cacheFaults,
      report: (failure) => world.fail(failure),
    }),
    sealer: inlineSealer,
    spoolFolder: '/process-server',
    metrics: new Metrics(),
    // Small ones, so that disks of some hundred KiB meet every limit.
    limits: {
      ...standardLimits,
      partBytesMax: 256 << 10,
      batchBytesMax: 96 << 10,
      batchesMax: 6,
      windowBytes: 256 << 10,
    },
    quota: { serverBytes: 4 << 20, itemBytes: 2 << 20 },
  });
  for (const { machine, itemId, diskIds, itemKey } of world.sites)
    await server.assign(
      ProcessServerAssignment.parse({
        itemId,
        name: machine.name,
        itemKeyFile: '/dev/null',
        disks: diskIds.map((diskId) => ({ diskId })),
      }),
      itemKey,
    );
  world.accept = (link) =>
    void server.serve(world.options.defect === 'accept-old-generation' ? renumbered(world, link) : link);
  await never();
}

export async function startVault(world: World, life: Life): Promise<void> {
  const random = world.random.fork(`vault/${world.timeline.moment}`);
  const files = world.vaultDrive.files(life);
  const clock = new SimulatedClock(world.timeline, life, world.vaultWall);
  const log = world.log.for('vault');
  const cache = new FolderStore({ files, random: random.fork('cache'), folder: '/cache' });
  await cache.prepare();
  const replica = defective(world, new ReflinkStore({ folder: '/replicas', files }));
  await replica.prepare();
  const archive = new Archive({ files, folder: '/archive' });
  const store = reachedBy(judging(world), life, world.timeline, random.fork('store'));
  const retention = new Retention({ store, replica, archive, clock, log });
  void (async () => {
    for (;;) {
      await clock.sleep(random.range(3000, 40_000));
      await retention.pass().catch((error: unknown) => log.warn('thinning failed', { error }));
    }
  })();
  const processor = new LogProcessor({
    store,
    clock,
    log,
    open: async (item) => {
      const itemKey = await store.sealedKey(item.itemId);
      const common = { item, cache, store, replica, archive, clock, log };
      return new ItemProcessor({ ...common, itemKey: itemKey!, random: random.fork(item.itemId) });
    },
  });
  world.cache = cache;
  await processor.run(new AbortController().signal);
}

/** The vault's records, with the oracle looking at each point in the moment in which it is recorded. */
function judging(world: World): VaultStore {
  return new Proxy(world.store, {
    get(store, name) {
      const value: unknown = Reflect.get(store, name, store);
      if (typeof value !== 'function') return value;
      if (name !== 'advance') return value.bind(store) as unknown;
      return async (itemId: string, advance: Advance) => {
        await store.advance(itemId as never, advance);
        const site = world.sites.find((one) => one.itemId === itemId)!;
        if (!advance.point) return;
        world.oracle.judge(itemId, advance.point.pointId, world.pointContent(site, advance.point.pointId));
      };
    },
  });
}

/** Defect: what was not acknowledged does not go back into the map. */
function forgetful(capture: Capture): Capture {
  return new Proxy(capture, {
    get(target, name) {
      if (name === 'restore') return () => {};
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Defect: the journal is acknowledged before it is durable. */
function lyingFiles(files: Files): Files {
  return new Proxy(files, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'open') return value.bind(target) as unknown;
      return async (path: string, mode: 'read' | 'write' | 'create' | 'exclusive') => {
        const file = await target.open(path, mode);
        return path.includes('/journal/') ? withoutSync(file) : file;
      };
    },
  });
}

/** No proxy: `await using` does not find the disposal of one (Node 24), and a file that cannot be closed proves nothing. */
function withoutSync(file: OpenFile): OpenFile {
  return {
    read: (target, positionBytes) => file.read(target, positionBytes),
    write: (source, positionBytes) => file.write(source, positionBytes),
    writeRanges: (source, ranges) => file.writeRanges(source, ranges),
    sizeBytes: () => file.sizeBytes(),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    sync: async () => {},
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** Defects at the vault: heads that are not flushed; zero ranges that are passed over. */
function defective(world: World, replica: ReplicaStore): ReplicaStore {
  const { defect } = world.options;
  const broken = defect === 'cut-before-flush' ? 'flush' : defect === 'skip-zeroes' ? 'zero' : undefined;
  if (!broken) return replica;
  return new Proxy(replica, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'openHead') return value.bind(target) as unknown;
      return async (...args: Parameters<ReplicaStore['openHead']>) => {
        const head = await target.openHead(...args);
        return new Proxy(head, {
          get(inner, method) {
            if (method === broken) return async () => {};
            const found: unknown = Reflect.get(inner, method, inner);
            return typeof found === 'function' ? (found.bind(inner) as unknown) : found;
          },
        });
      };
    },
  });
}

/** Defect: every session is taken for the newest, whatever generation it says. */
function renumbered(world: World, link: Link): Link {
  const generation = ++world.renumbered;
  let said = 0;
  const json = (frame: Frame, value: number) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(frame.payload).toString()), generation: value }));
  return {
    peerName: link.peerName,
    close: (reason) => link.close(reason),
    send: (frame) =>
      link.send({
        ...frame,
        generation: frame.generation === 0 ? 0 : said,
        payload: frame.type === FrameType.welcome ? json(frame, said) : frame.payload,
      }),
    async *frames() {
      for await (const frame of link.frames()) {
        if (frame.type === FrameType.hello) said = frame.generation;
        yield {
          ...frame,
          generation,
          payload: frame.type === FrameType.hello ? json(frame, generation) : frame.payload,
        };
      }
    },
  };
}
