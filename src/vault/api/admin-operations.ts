/**
 * What the admin socket can do, apart from how it is asked. Set-up (process servers, protection) is done here: ids, keys
 * and certificates are made and written for the two other houses. Everything else is read from the store or handed to
 * the room whose work it is.
 */
import { join } from 'node:path';
import type { BookmarkType } from '../../model/bookmark.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Files, writeDurably } from '../../platform/files.ts';
import type { Random } from '../../platform/random.ts';
import { seal } from '../../platform/seal.ts';
import { type Authority, issueCertificate } from '../../platform/tls.ts';
import { itemKeyBytes } from '../../protocol/cache/keys.ts';
import type { MobilityAssignment, ProcessServerAssignment } from '../../protocol/control/assignment.ts';
import type { ProcessServerSettings } from '../../protocol/control/process-server-settings.ts';
import type {
  AddProcessServer,
  EventView,
  FailoverView,
  ItemView,
  PointView,
  ProcessServerView,
  ProtectRequest,
  ResyncView,
  TestFailoverRequest,
  VerifyView,
} from '../../protocol/control/vault-admin.ts';
import { errors } from '../errors.ts';
import { pageMax } from '../limits.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import { defaultRetention } from '../retention/plan.ts';
import type { ProtectedItem, VaultStore } from '../store/vault-store.ts';
import type { AdminJobs } from './admin-jobs.ts';

export type Report = (text: string, fraction?: number) => void;

/** Certificates outlive a year's holidays; renewal comes with the configuration server. */
const certificateDays = 825;
/** Of a process server's status and metrics, on its own loopback. */
const defaultStatusPort = 9444;

export interface AdminOperationsOptions {
  readonly store: VaultStore;
  readonly replica: ReplicaStore;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly authority: Authority;
  readonly masterKey: Uint8Array;
  /** Where process servers reach the cache endpoint. */
  readonly cacheUrl: string;
  readonly jobs: AdminJobs;
  readonly verifyItem: (item: ProtectedItem, report: Report) => Promise<VerifyView>;
  /** Whether a failover provider is set up. */
  readonly hasFailover: boolean;
}

export class AdminOperations {
  readonly #options: AdminOperationsOptions;

  constructor(options: AdminOperationsOptions) {
    this.#options = options;
  }

  async addProcessServer(request: AddProcessServer): Promise<{ name: string }> {
    const { store, authority, cacheUrl, files, clock, random } = this.#options;
    const servers = await store.listProcessServers();
    if (servers.some(({ name }) => name === request.name)) throw errors.ProcessServerExists(request.name);
    await issueCertificate({
      folder: join(request.outFolder, 'tls'),
      authority,
      commonName: `process-server/${request.name}`,
      hosts: [request.host],
      days: certificateDays,
      usage: 'both',
      random,
    });
    const at = (name: string) => join(request.installedAt, 'tls', name);
    const cache = {
      type: 'vault' as const,
      url: cacheUrl,
      tls: { caFile: at('ca.pem'), certificateFile: at('certificate.pem'), keyFile: at('key.pem') },
    };
    const settings: ProcessServerSettings = {
      listen: { host: '0.0.0.0', port: request.port },
      statusPort: defaultStatusPort,
      tls: cache.tls,
      spool: { folder: join(request.installedAt, 'spool'), quotaBytes: request.spoolBytes },
      cache,
      itemsFolder: join(request.installedAt, 'items'),
      codecWorkers: 2,
      partSeconds: 5,
      logLevel: 'info',
    };
    await files.makeFolder(join(request.outFolder, 'items'));
    await writeJson(files, join(request.outFolder, 'process-server.json'), settings);
    await store.addProcessServer({
      name: request.name,
      host: request.host,
      port: request.port,
      createdAt: new Date(clock.now()).toISOString(),
    });
    return { name: request.name };
  }

  async listProcessServers(): Promise<ProcessServerView[]> {
    const counts = new Map<string, number>();
    for await (const { processServer } of this.#items())
      counts.set(processServer, (counts.get(processServer) ?? 0) + 1);
    const servers = await this.#options.store.listProcessServers();
    return servers.map((server) => ({ ...server, itemCount: counts.get(server.name) ?? 0 }));
  }

  async protect(request: ProtectRequest): Promise<ItemView> {
    const { store, files, clock, random, authority, masterKey } = this.#options;
    const existing = await store.itemByName(request.name);
    if (existing) throw errors.ItemAlreadyProtected(`the machine ${request.name}`, existing.name);
    const repeated = request.disks.find((path, index) => request.disks.indexOf(path) !== index);
    if (repeated !== undefined) throw errors.RequestInvalid(`the disk ${repeated} is named twice`);
    const server = (await store.listProcessServers()).find(({ name }) => name === request.processServer);
    if (!server) throw errors.ProcessServerUnknown(request.processServer);

    const itemId = ProtectedItemId.parse(random.uuid());
    const disks = request.disks.map((path) => ({ diskId: ProtectedDiskId.parse(random.uuid()), path }));
    const itemKey = random.bytes(itemKeyBytes);

    const mobilityFolder = join(request.outFolder, 'mobility-service');
    await issueCertificate({
      folder: join(mobilityFolder, 'tls'),
      authority,
      commonName: itemId,
      hosts: [],
      days: certificateDays,
      usage: 'client',
      random,
    });
    const at = (name: string) => join(request.mobilityServiceAt, 'tls', name);
    const mobility: MobilityAssignment = {
      itemId,
      name: request.name,
      processServer: { host: server.host, port: server.port },
      tls: { caFile: at('ca.pem'), certificateFile: at('certificate.pem'), keyFile: at('key.pem') },
      disks,
      policy: {
        crashConsistentSeconds: request.crashConsistentSeconds,
        applicationConsistentSeconds: request.applicationConsistentSeconds,
        freezeMillisecondsMax: 1000,
      },
    };
    await writeJson(files, join(mobilityFolder, 'assignment.json'), mobility);

    const serverFolder = join(request.outFolder, 'process-server');
    const keyName = join('keys', `${itemId}.key`);
    const assignment: ProcessServerAssignment = {
      itemId,
      name: request.name,
      itemKeyFile: join(request.processServerAt, keyName),
      disks: disks.map(({ diskId }) => ({ diskId })),
    };
    await files.makeFolder(join(serverFolder, 'keys'));
    await writeDurably(files, join(serverFolder, keyName), itemKey);
    await writeJson(files, join(serverFolder, 'items', `${itemId}.json`), assignment);

    const item: ProtectedItem = {
      itemId,
      name: request.name,
      processServer: server.name,
      disks,
      retention: defaultRetention,
      createdAt: new Date(clock.now()).toISOString(),
    };
    await store.addItem(item, seal(masterKey, itemKey, random));
    return this.#view(item);
  }

  async unprotect(nameOrId: string): Promise<void> {
    const item = await this.#find(nameOrId);
    const loans = await this.#options.replica.listLoans(item.itemId);
    if (loans.length > 0)
      throw errors.RequestInvalid(`${item.name} has a test failover that is not cleaned up (${loans[0]})`);
    await this.#options.jobs.run('disable-protection', item, { itemId: item.itemId }, () => {});
  }

  /**
   * Has every disk compared with its replica, in a new chain. The process server acts when the machine is connected; until
   * then the request waits.
   */
  async resync(nameOrId: string): Promise<ResyncView> {
    const { jobs } = this.#options;
    const item = await this.#find(nameOrId);
    const { jobId } = await jobs.run('repair-replication', item, { itemId: item.itemId }, () => {});
    const { chain, isNew } = await jobs.outputOf<{ chain: number; isNew: boolean }>(jobId, 'OrderResync');
    return { itemId: item.itemId, name: item.name, chain, isNew };
  }

  async listItems(): Promise<ItemView[]> {
    const views: ItemView[] = [];
    for await (const item of this.#items()) views.push(await this.#view(item));
    return views;
  }

  async showItem(nameOrId: string): Promise<ItemView> {
    return this.#view(await this.#find(nameOrId));
  }

  async listPoints(nameOrId: string, limit: number): Promise<PointView[]> {
    const item = await this.#find(nameOrId);
    const points = await this.#options.store.listPoints(item.itemId, { limit });
    return points.map(({ itemId: _, chain: __, sequence: ___, ...view }) => view);
  }

  async listEvents(nameOrId: string | undefined, limit: number): Promise<EventView[]> {
    const item = nameOrId === undefined ? undefined : await this.#find(nameOrId);
    const events = await this.#options.store.listEvents({ limit, ...(item ? { itemId: item.itemId } : {}) });
    return events.map(({ eventId, itemId, event }) => ({ eventId, itemId, event }));
  }

  async verify(nameOrId: string | undefined, report: Report): Promise<VerifyView[]> {
    const views: VerifyView[] = [];
    if (nameOrId !== undefined)
      views.push(await this.#options.verifyItem(await this.#find(nameOrId), report));
    else for await (const item of this.#items()) views.push(await this.#options.verifyItem(item, report));
    return views;
  }

  async testFailover(nameOrId: string, request: TestFailoverRequest, report: Report): Promise<FailoverView> {
    return this.#failover().testFailover(await this.#find(nameOrId), request, report);
  }

  async listFailovers(): Promise<FailoverView[]> {
    return this.#failover().list();
  }

  async cleanup(failoverId: string, notes: string, report: Report): Promise<void> {
    await this.#failover().cleanup(failoverId, notes, report);
  }

  #failover(): AdminJobs {
    if (!this.#options.hasFailover) throw errors.FeatureMissing('test failover');
    return this.#options.jobs;
  }

  async *#items(): AsyncGenerator<ProtectedItem> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#options.store.listItems({
        limit: pageMax,
        ...(after === undefined ? {} : { after }),
      });
      yield* page;
      if (page.length < pageMax) return;
      after = page.at(-1)!.name;
    }
  }

  async #find(nameOrId: string): Promise<ProtectedItem> {
    const asId = ProtectedItemId.safeParse(nameOrId);
    const item =
      (asId.success ? await this.#options.store.item(asId.data) : undefined) ??
      (await this.#options.store.itemByName(nameOrId));
    if (!item) throw errors.ItemUnknown(nameOrId);
    return item;
  }

  async #view(item: ProtectedItem): Promise<ItemView> {
    const { store, replica, clock } = this.#options;
    const state = await store.state(item.itemId);
    const points = await store.listPoints(item.itemId, { limit: pageMax });
    const latest = points[0];
    const { usedBytes } = await replica.usage(item.itemId);
    return {
      itemId: item.itemId,
      name: item.name,
      processServer: item.processServer,
      createdAt: item.createdAt,
      disks: item.disks.map(({ diskId, path }) => {
        const known = state.disks.find((disk) => disk.diskId === diskId);
        return {
          diskId,
          path,
          sizeBytes: known?.sizeBytes ?? 0,
          state: known?.state ?? 'empty',
          ...(known?.cause === undefined ? {} : { cause: known.cause }),
        };
      }),
      progress: state.progress,
      pointCount: points.length,
      ...(latest
        ? {
            latestPoint: {
              pointId: latest.pointId,
              type: latest.type satisfies BookmarkType,
              takenAt: latest.takenAt,
            },
            rpoSeconds: Math.max(0, (clock.now() - Date.parse(latest.takenAt)) / 1000),
          }
        : {}),
      appliedSequence: state.position?.sequence ?? 0,
      ...(state.blocked ? { blocked: state.blocked.event } : {}),
      usedBytes,
    };
  }
}

async function writeJson(files: Files, path: string, value: unknown): Promise<void> {
  await files.makeFolder(join(path, '..'));
  await writeDurably(files, path, Buffer.from(`${JSON.stringify(value, null, 2)}\n`));
}
