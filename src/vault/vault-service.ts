/**
 * The vault as one process: database, replica store, cache endpoint, log processor, retention and the control plane, put
 * together from its settings and taken apart in the opposite order.
 *
 *     <data>/vault.json       settings            <data>/authority/   certificate authority
 *     <data>/master.key       seals item keys     <data>/tls/         the endpoint's certificate
 *     <data>/database/        private MariaDB     <data>/cache/       objects waiting
 *     <data>/replica[.img]    replica disks       <data>/archive/     applied manifests
 *     <data>/machines/        consoles, displays  <data>/failovers/   proofs of test failovers
 *     <data>/scripts/         of recovery plans; script-runs/ is what came of them
 */
import { join } from 'node:path';
import type { ProtectedItemId } from '../model/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { hasCode } from '../platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../platform/files.ts';
import { holdFolder } from '../platform/hold-folder.ts';
import type { Log } from '../platform/log.ts';
import { openDatabase } from '../platform/mysql.ts';
import { startDatabaseServer } from '../platform/mysql-server.ts';
import type { Random } from '../platform/random.ts';
import { masterKeyBytes, seal, unseal } from '../platform/seal.ts';
import { readSettings } from '../platform/settings.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../platform/tls.ts';
import { cacheErrors } from '../protocol/cache/errors.ts';
import { FolderStore } from '../protocol/cache/folder-store.ts';
import { itemKeyBytes } from '../protocol/cache/keys.ts';
import { startCacheEndpoint } from './cache/endpoint.ts';
import { startControlPlane } from './control-plane.ts';
import { errors } from './errors.ts';
import { LibvirtProvider } from './failover/libvirt.ts';
import { JobEngine } from './jobs/engine.ts';
import { cacheListMax, cacheReserveBytes, databasePoolMebibytes, pauseMilliseconds } from './limits.ts';
import { Archive } from './log-processor/archive.ts';
import { ItemProcessor } from './log-processor/item-processor.ts';
import { LogProcessor } from './log-processor/log-processor.ts';
import { orderResync } from './log-processor/resync-order.ts';
import { FailedOverMachines } from './reconcilers/failed-over-machines.ts';
import { Retention } from './reconcilers/retention.ts';
import { DigestPool } from './replica/digest-pool.ts';
import { PlacerPool } from './replica/placer-pool.ts';
import { ReflinkStore, type ReflinkStoreOptions } from './replica/reflink-store.ts';
import {
  allocatedBytes,
  describeFolder,
  makeVolume,
  mountVolume,
  punchHole,
  unmountVolume,
} from './replica/volume.ts';
import { VaultSettings, vaultSettingsName } from './settings.ts';
import { SitesOfItems } from './site-link/item-sites.ts';
import { OrdersDesk } from './site-link/orders.ts';
import { failoverRecords } from './store/failovers.ts';
import * as fences from './store/fences.ts';
import { itemRecords } from './store/item-records.ts';
import { MariaJobStore } from './store/jobs.ts';
import { MariaStore } from './store/maria-store.ts';
import { migrate } from './store/migrate.ts';
import { MariaResources } from './store/resources.ts';
import { testFailoverRecords } from './store/test-failovers.ts';
import type { ProtectedItem } from './store/vault-store.ts';
import { verifyItem } from './verify/verify.ts';
import { itemWorkflows } from './workflows/all.ts';
import { exportJobs } from './workflows/export-jobs.ts';
import { planReader } from './workflows/plan-shape.ts';
import { resourceChangeParts, resourceChanges } from './workflows/resource-changes.ts';
import { scriptsIn } from './workflows/scripts.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Log;
}

export interface InitOptions {
  readonly dataFolder: string;
  readonly hosts: readonly string[];
  readonly listen: string;
  readonly port: number;
  readonly apiPort: number;
  readonly publicUrl?: string | undefined;
  /** Make a volume file of this size for the replica disks; undefined: the folder itself must be able to clone. */
  readonly volumeBytes?: number | undefined;
  readonly libvirtUri?: string | undefined;
}

/** Makes a vault's data folder. Refuses a folder that has one. Safe to run again after it failed half-way. */
export async function initVault(
  options: InitOptions,
  { files, random }: Surroundings,
): Promise<VaultSettings> {
  const at = (...names: string[]) => join(options.dataFolder, ...names);
  if ((await files.sizeBytes(at(vaultSettingsName))) !== undefined)
    throw errors.VaultFolderInUse(options.dataFolder);
  await files.makeFolder(options.dataFolder);
  const settings = VaultSettings.parse({
    cache: { hosts: options.hosts, listen: options.listen, port: options.port },
    replica: {
      folder: at('replica'),
      ...(options.volumeBytes === undefined ? {} : { volume: at('replica.img') }),
    },
    database: { type: 'embedded' },
    api: {
      listen: options.listen,
      port: options.apiPort,
      ...(options.publicUrl === undefined ? {} : { publicUrl: options.publicUrl }),
      tenantId: random.uuid(),
      subscriptionId: random.uuid(),
    },
    ...(options.libvirtUri === undefined
      ? {}
      : { failover: { provider: 'libvirt', uri: options.libvirtUri } }),
  });
  if (options.volumeBytes !== undefined && (await files.sizeBytes(at('replica.img'))) === undefined)
    await makeVolume(at('replica.img'), options.volumeBytes);
  if (settings.replica.volume !== undefined)
    await mountVolume(settings.replica.volume, settings.replica.folder);
  try {
    await replicaStore(settings, files).prepare();
  } finally {
    if (settings.replica.volume !== undefined) await unmountVolume(settings.replica.folder);
  }
  const authority = await issueAuthority(at('authority'));
  await issueCertificate({
    folder: at('tls'),
    authority,
    commonName: options.hosts[0]!,
    hosts: options.hosts,
    days: 825,
    usage: 'both',
    random,
  });
  if ((await files.sizeBytes(at('master.key'))) === undefined)
    await writeDurably(files, at('master.key'), random.bytes(masterKeyBytes));
  // Last: a folder with settings is a whole vault.
  await writeDurably(files, at(vaultSettingsName), Buffer.from(`${JSON.stringify(settings, null, 2)}\n`));
  return settings;
}

export interface RunningVault extends AsyncDisposable {
  readonly cacheUrl: string;
  readonly publicUrl: string;
  /** Rejects when a part that the vault cannot live without has ended. */
  readonly failed: Promise<never>;
}

/** On a disk that is full it starts with what works there, or waits until its database can start; `signal` ends that wait. */
export async function startVault(
  dataFolder: string,
  surroundings: Surroundings,
  signal = new AbortController().signal,
): Promise<RunningVault> {
  const { clock, random, files, log } = surroundings;
  const at = (...names: string[]) => join(dataFolder, ...names);
  const settings = await readSettings(VaultSettings, at(vaultSettingsName));
  const masterKey = await readWhole(files, at('master.key'));
  if (masterKey?.byteLength !== masterKeyBytes) throw errors.SealBroken();
  await using stack = new AsyncDisposableStack();
  const stopping = new AbortController();

  // First, and let go of last: everything below is one process's alone.
  stack.use(await holdFolder(dataFolder));
  if (settings.replica.volume !== undefined) {
    await mountVolume(settings.replica.volume, settings.replica.folder);
    stack.defer(() => unmountVolume(settings.replica.folder));
  }
  const digester = stack.use(new DigestPool());
  const replica = replicaStore(settings, files, { digester, placer: stack.use(new PlacerPool()) });
  try {
    await replica.prepare();
    log.info('replica-store-ready', { on: await describeFolder(settings.replica.folder) });
  } catch (error) {
    // It could clone when the vault was made. Retention makes room, and machines start from the points that are there.
    if (!hasCode(error, 'ReplicaStoreFull')) throw error;
    log.error('replica-store-full', { error });
  }

  const server =
    settings.database.type === 'embedded'
      ? stack.use(
          await onceThereIsRoom(
            () =>
              startDatabaseServer({
                folder: at('database'),
                database: 'leeward',
                bufferPoolMebibytes: databasePoolMebibytes,
                clock,
              }),
            surroundings,
            signal,
          ),
        )
      : undefined;
  const database = stack.use(
    openDatabase(
      settings.database.type === 'embedded'
        ? { socketPath: server!.socketPath, user: server!.user, database: 'leeward' }
        : {
            socketPath: settings.database.socketPath,
            user: settings.database.user,
            database: settings.database.database,
            ...(settings.database.passwordFile === undefined
              ? {}
              : {
                  password: (await readWhole(files, settings.database.passwordFile))?.toString().trim() ?? '',
                }),
          },
    ),
  );
  await migrate(database);
  const store = new MariaStore(database);
  const archive = new Archive({ files, folder: at('archive') });
  const cache = new FolderStore({ files, random, folder: at('cache') });
  await cache.prepare();
  // From here on health tells of it.
  const cacheFreeBytes = await files.freeBytes(at('cache'));
  if (cacheFreeBytes < cacheReserveBytes)
    log.error('cache-storage-full', {
      freeBytes: cacheFreeBytes,
      reserveBytes: cacheReserveBytes,
      error: cacheErrors.CacheStoreFull(`in ${at('cache')}`),
    });

  const keyOf = async (item: ProtectedItem): Promise<Buffer> => {
    const sealed = await store.sealedKey(item.itemId);
    const key = sealed === undefined ? undefined : unseal(masterKey, sealed);
    if (key === undefined) throw errors.SealBroken();
    return key;
  };
  const heldRooms: Buffer[] = [];
  const processor = new LogProcessor({
    store,
    clock,
    log,
    open: async (item) =>
      new ItemProcessor({
        item,
        itemKey: await keyOf(item),
        cache,
        store,
        replica,
        archive,
        clock,
        random,
        log,
        heldRooms,
      }),
  });

  const endpoint = stack.use(
    await startCacheEndpoint({
      store: cache,
      tls: await tlsOptions({
        caFile: at('tls', 'ca.pem'),
        certificateFile: at('tls', 'certificate.pem'),
        keyFile: at('tls', 'key.pem'),
      }),
      host: settings.cache.listen,
      port: settings.cache.port,
      assignedTo: async (itemId) => (await store.item(itemId))?.processServer,
      isFenced: async (itemId) => (await fences.read(database, itemId)) !== undefined,
      freeBytes: () => files.freeBytes(at('cache')),
      reserveBytes: cacheReserveBytes,
      onArrival: () => processor.wake(),
      log,
    }),
  );
  const cacheUrl = `https://${bracketed(settings.cache.hosts[0]!)}:${endpoint.port}`;

  const authority = await issueAuthority(at('authority'));
  const provider =
    settings.failover === undefined
      ? undefined
      : new LibvirtProvider(
          {
            uri: settings.failover.uri,
            folder: at('machines'),
            commandPrefix: settings.failover.commandPrefix,
          },
          clock,
          files,
        );
  const desk = new OrdersDesk({
    database,
    clock,
    log,
    onAnswer: (orderId) => {
      // A lost wake-up costs a minute: the job looks by itself.
      jobs
        .orderAnswered(orderId)
        .catch((error: unknown) => log.warn('order-wakes-nobody', { orderId, error }));
    },
  });
  const mustItem = async (itemId: ProtectedItemId): Promise<ProtectedItem> => {
    const item = await store.item(itemId);
    if (!item) throw errors.ItemUnknown(itemId);
    return item;
  };
  const testFailovers = testFailoverRecords(database);
  const resources = new MariaResources(database, clock);
  const jobs: JobEngine = new JobEngine({
    store: new MariaJobStore(database),
    workflows: [
      ...resourceChanges(resourceChangeParts(database, resources, clock)),
      exportJobs(() => jobs),
      ...itemWorkflows({
        clock,
        random,
        files,
        log,
        items: itemRecords(database),
        store,
        replica,
        sites: new SitesOfItems({
          database,
          random,
          itemKey: async (itemId) => keyOf(await mustItem(itemId)),
        }),
        orders: desk,
        testFailovers,
        failovers: failoverRecords(database),
        readPlan: planReader(resources),
        runScript: scriptsIn({ folder: at('scripts'), runsFolder: at('script-runs'), clock }),
        provider,
        proofsFolder: at('failovers'),
        newSealedKey: () => seal(masterKey, random.bytes(itemKeyBytes), random),
        releaseItem: (itemId) => processor.release(itemId),
        dropLeftovers: async (itemId) => {
          await archive.drop(itemId);
          for (;;) {
            const page = await cache.list(`items/${itemId}/`, { limit: cacheListMax }, stopping.signal);
            for (const { key } of page) await cache.delete(key, stopping.signal);
            if (page.length < cacheListMax) return;
          }
        },
        orderResync: async (itemId, chain, cause, diskId) =>
          orderResync(
            { itemId, itemKey: await keyOf(await mustItem(itemId)), cache },
            chain,
            cause,
            stopping.signal,
            diskId,
          ),
        verifyItem: async (item, onProgress, signal) =>
          verifyItem({ item, itemKey: await keyOf(item), store, replica, archive }, onProgress, signal),
      }),
    ],
    clock,
    random,
    log,
    owner: `vault/${process.pid}`,
    isAnswered: async (orderId) => (await desk.answer(orderId)) !== undefined,
  });
  await files.makeFolder(at('scripts'));

  const controlPlane = stack.use(
    await startControlPlane({
      settings,
      dataFolder,
      database,
      resources,
      jobs,
      orders: desk,
      storeFacts: async () => ({
        replicaFreePercent: await files.freePercent(settings.replica.folder),
        cacheFreePercent: await files.freePercent(at('cache')),
      }),
      usedBytes: async (itemId) => (await replica.usage(itemId)).usedBytes,
      masterKey,
      authority,
      cacheUrl,
      clock,
      random,
      files,
      log,
    }),
  );

  const retention = new Retention({ store, replica, archive, clock, log });
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const running = Promise.all([
    processor.run(stopping.signal),
    retention.run(stopping.signal),
    jobs.run(stopping.signal),
    controlPlane.run(stopping.signal),
    ...(provider === undefined
      ? []
      : [new FailedOverMachines({ database, provider, clock, log }).run(stopping.signal)]),
  ]);
  running.catch(fail);
  if (server)
    void server.ended.then(() => {
      if (!stopping.signal.aborted) fail(errors.DatabaseUnreachable());
    });
  stack.defer(async () => {
    stopping.abort();
    await running.catch(() => {});
  });
  const { publicUrl } = controlPlane;
  log.info('vault-ready', { cacheUrl, publicUrl });

  const parts = stack.move();
  return { cacheUrl, publicUrl, failed, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** Nobody but a person makes this room, hours later maybe: it is said each time, and tried again until it is there. */
async function onceThereIsRoom<T>(
  start: () => Promise<T>,
  { clock, log }: Surroundings,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (!hasCode(error, 'DatabaseFolderFull')) throw error;
      log.error('waits-for-room', { error, nextTrySeconds: pauseMilliseconds / 1000 });
      await clock.sleep(pauseMilliseconds, signal);
    }
  }
}

function replicaStore(
  settings: VaultSettings,
  files: Files,
  threads: Pick<ReflinkStoreOptions, 'digester' | 'placer'> = {},
): ReflinkStore {
  return new ReflinkStore({
    folder: settings.replica.folder,
    files,
    punch: punchHole,
    allocatedBytes,
    ...threads,
    fileSystemName: describeFolder,
  });
}

const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host);
