/**
 * A vault's data path and its link to sites in the test's own process, and a site of real processes: configuration server,
 * process server, mobility services, each started from its own main and enrolled as a person would.
 *
 *     test: cache endpoint, log processor, replica store, site link  ◀── TLS ──  site's daemons
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProtectedDiskId, ProtectedItemId } from '../../src/model/ids.ts';
import { sealTo } from '../../src/platform/box.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { tryRun } from '../../src/platform/exec.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { silentLog } from '../../src/platform/log.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { tlsOptions } from '../../src/platform/tls.ts';
import { FolderStore } from '../../src/protocol/cache/folder-store.ts';
import type { MachineId, SiteAnswer } from '../../src/protocol/control/site-link.ts';
import { startCacheEndpoint } from '../../src/vault/cache/endpoint.ts';
import { Archive } from '../../src/vault/log-processor/archive.ts';
import { ItemProcessor } from '../../src/vault/log-processor/item-processor.ts';
import { LogProcessor } from '../../src/vault/log-processor/log-processor.ts';
import { ReflinkStore } from '../../src/vault/replica/reflink-store.ts';
import { allocatedBytes, describeFolder, punchHole } from '../../src/vault/replica/volume.ts';
import { defaultRetention } from '../../src/vault/retention/plan.ts';
import { MariaStore } from '../../src/vault/store/maria-store.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { localThawHelper } from '../../tools/agent/thaw-helper.ts';
import { type PrivateMariadb, startPrivateMariadb } from './private-mariadb.ts';
import { makeTestVolume, type TestVolume } from './replica-volume.ts';
import { Daemon, eventually, freePort, runMain } from './site.ts';
import { type SiteLinkVault, startSiteLinkVault, vaultId } from './site-link-vault.ts';

export { vaultId };

/** A vault that receives: all of its data path, and the link to sites. */
export class ReceivingVault implements AsyncDisposable {
  readonly mariadb: PrivateMariadb;
  readonly link: SiteLinkVault;
  readonly store: MariaStore;
  readonly replica: ReflinkStore;
  readonly #stack: AsyncDisposableStack;
  readonly #keys: Map<string, Buffer>;

  private constructor(
    parts: Pick<ReceivingVault, 'mariadb' | 'link' | 'store' | 'replica'>,
    keys: Map<string, Buffer>,
    stack: AsyncDisposableStack,
  ) {
    this.mariadb = parts.mariadb;
    this.link = parts.link;
    this.store = parts.store;
    this.replica = parts.replica;
    this.#keys = keys;
    this.#stack = stack;
  }

  static async start(): Promise<ReceivingVault> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'leeward-vault-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const volume: TestVolume = await makeTestVolume('xfs', 1 << 30);
    stack.defer(() => volume.dispose());
    const mariadb = await startPrivateMariadb();
    stack.defer(() => mariadb.dispose());
    const { database } = await mariadb.database();
    const cachePort = await freePort();
    const link = stack.use(
      await startSiteLinkVault(database, { cacheUrl: `https://127.0.0.1:${cachePort}` }),
    );
    const store = new MariaStore(database);
    const replica = new ReflinkStore({
      folder: volume.path,
      files: systemFiles,
      punch: punchHole,
      allocatedBytes,
      fileSystemName: describeFolder,
    });
    await replica.prepare();
    const archive = new Archive({ files: systemFiles, folder: join(folder, 'archive') });
    const cache = new FolderStore({
      files: systemFiles,
      random: systemRandom,
      folder: join(folder, 'cache'),
    });
    await cache.prepare();
    const keys = new Map<string, Buffer>();
    const processor = new LogProcessor({
      store,
      clock: systemClock,
      log: silentLog,
      open: async (item) =>
        new ItemProcessor({
          item,
          itemKey: keys.get(item.itemId)!,
          cache,
          store,
          replica,
          archive,
          clock: systemClock,
          random: systemRandom,
          log: silentLog,
        }),
    });
    const at = (name: string) => join(link.folder, 'tls', name);
    stack.use(
      await startCacheEndpoint({
        store: cache,
        tls: await tlsOptions({
          caFile: at('ca.pem'),
          certificateFile: at('certificate.pem'),
          keyFile: at('key.pem'),
        }),
        host: '127.0.0.1',
        port: cachePort,
        assignedTo: async (itemId) => (await store.item(itemId))?.processServer,
        freeBytes: async () => 2 ** 40,
        reserveBytes: 0,
        onArrival: () => processor.wake(),
        log: silentLog,
      }),
    );
    const stop = new AbortController();
    const running = Promise.all([processor.run(stop.signal), link.orders.run(stop.signal)]);
    stack.defer(async () => {
      stop.abort();
      await running;
    });
    return new ReceivingVault({ mariadb, link, store, replica }, keys, stack.move());
  }

  /** Makes the item at the vault and orders the site to protect it; answers the order's id. */
  async protect(request: {
    readonly siteId: string;
    readonly machineId: string;
    readonly processServerId: string;
    readonly path: string;
    readonly expiresSeconds?: number;
  }): Promise<{ itemId: ProtectedItemId; diskId: ProtectedDiskId; orderId: string }> {
    const itemId = systemRandom.uuid() as ProtectedItemId;
    const diskId = systemRandom.uuid() as ProtectedDiskId;
    const orderId = systemRandom.uuid();
    const key = systemRandom.bytes(32);
    this.#keys.set(itemId, key);
    const site = await sites.byId(this.link.database, request.siteId);
    await this.store.addItem(
      {
        itemId,
        name: `item-${itemId.slice(0, 8)}`,
        processServer: request.processServerId,
        disks: [{ diskId, path: request.path }],
        retention: defaultRetention,
        createdAt: new Date(systemClock.now()).toISOString(),
      },
      Buffer.from('kept elsewhere'),
    );
    await this.link.orders.place({
      orderId,
      siteId: request.siteId,
      content: {
        order: 'protect',
        itemId,
        name: `item-${itemId.slice(0, 8)}`,
        machineId: request.machineId as MachineId,
        processServerId: request.processServerId,
        disks: [{ diskId, path: request.path }],
        sealedItemKey: sealTo(Buffer.from(site!.boxPublicKey, 'base64'), key, systemRandom).toString(
          'base64',
        ),
        policy: { crashConsistentSeconds: 1, applicationConsistentSeconds: 0 },
      },
      expiresAt: new Date(systemClock.now() + (request.expiresSeconds ?? 200) * 1000).toISOString(),
    });
    return { itemId, diskId, orderId };
  }

  answered(orderId: string, limitSeconds = 200): Promise<SiteAnswer> {
    return eventually(`the answer to ${orderId}`, limitSeconds, () => this.link.orders.answer(orderId));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Of a daemon that was killed, in this folder; until it has ended, it writes there. */
export async function endDatabase(folder: string): Promise<void> {
  const pid = Number.parseInt(await readFile(join(folder, 'server.pid'), 'utf8').catch(() => ''), 10);
  const isThere = async () =>
    (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(folder);
  if (!Number.isInteger(pid) || !(await isThere())) return;
  await tryRun('kill', [String(pid)], { timeoutMilliseconds: 30_000 });
  await eventually(`the database in ${folder} has ended`, 180, async () => !(await isThere()) || undefined);
}

/** A site's daemons on loopback. */
export class RealSite implements AsyncDisposable {
  readonly folder: string;
  readonly server: Daemon;
  readonly settings: string;
  readonly port: number;
  readonly daemons: Daemon[] = [];
  /** Of items that were replicated: their trace instances stay after a clean stop, on purpose. */
  readonly itemIds: string[] = [];

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.settings = join(folder, 'configuration-server.json');
    this.server = new Daemon('configuration-server', folder, [
      'src/bin/configuration-server.ts',
      'run',
      '--settings',
      this.settings,
    ]);
    this.daemons.push(this.server);
  }

  /** `folder`: default, a new one. */
  static async make(folder?: string): Promise<RealSite> {
    folder ??= await mkdtemp(join(tmpdir(), 'leeward-real-site-'));
    await mkdir(folder, { recursive: true });
    const site = new RealSite(folder, await freePort());
    await runMain([
      'src/bin/configuration-server.ts',
      'init',
      '--settings',
      site.settings,
      '--data',
      join(folder, 'cs'),
      '--host',
      '127.0.0.1',
      '--listen',
      '127.0.0.1',
      '--port',
      String(site.port),
    ]);
    return site;
  }

  /** Registers with a key's text. */
  async register(key: string): Promise<void> {
    const keyFile = join(this.folder, 'key.VaultCredentials');
    await writeFile(keyFile, key, { mode: 0o600 });
    await runMain([
      'src/bin/configuration-server.ts',
      'register',
      '--settings',
      this.settings,
      '--key-file',
      keyFile,
    ]);
  }

  async enrolmentKey(): Promise<string> {
    const path = join(this.folder, 'enrolment.json');
    await runMain([
      'src/bin/configuration-server.ts',
      'enrolment-key',
      '--settings',
      this.settings,
      '--output',
      path,
    ]);
    return path;
  }

  /**
   * Enrolled and running. `host`: the address that machines are told; `node`: flags of the Node that runs it; `change`: of the
   * settings that enrolling wrote.
   */
  async startProcessServer(
    name = 'ps1',
    options: {
      readonly host?: string;
      readonly node?: readonly string[];
      // biome-ignore lint/suspicious/noExplicitAny: the file as it lies there
      readonly change?: (settings: any) => void;
    } = {},
  ): Promise<Daemon> {
    const folder = join(this.folder, name);
    const settings = join(folder, 'process-server.json');
    const key = await this.enrolmentKey();
    await eventually('the process server enrols', 180, async () => {
      await runMain([
        'src/bin/process-server.ts',
        'enrol',
        '--settings',
        settings,
        '--folder',
        folder,
        '--name',
        name,
        '--host',
        options.host ?? '127.0.0.1',
        '--port',
        String(await freePort()),
        '--status-port',
        String(await freePort()),
        '--spool-gib',
        '1',
        '--key-file',
        key,
      ]);
      return true;
    });
    if (options.change !== undefined) {
      const written = JSON.parse(await readFile(settings, 'utf8'));
      options.change(written);
      await writeFile(settings, JSON.stringify(written));
    }
    const daemon = new Daemon(name, this.folder, [
      ...(options.node ?? []),
      'src/bin/process-server.ts',
      '--settings',
      settings,
    ]);
    this.daemons.push(daemon);
    daemon.start();
    return daemon;
  }

  /**
   * `node`: flags of the Node that runs it; `main`: instead of this tree's; `hostName`: for one machine of several on this one,
   * with a name of its own in a UTS namespace of its own.
   */
  async startMachine(
    name: string,
    options: {
      readonly node?: readonly string[];
      readonly main?: string;
      readonly hostName?: string;
      /** Where what the machine is lies (`machine-facts.ts`). Default: this host. */
      readonly machineRoot?: string;
      /** Device → the one that lies in its place for this machine, in a mount namespace of its own. */
      readonly devices?: Readonly<Record<string, string>>;
      /** False: it has a state folder already, or none is made; nothing is started. */
      readonly isEnrolled?: boolean;
    } = {},
  ): Promise<Daemon> {
    const folder = join(this.folder, name);
    const rootArgs = options.machineRoot === undefined ? [] : ['--machine-root', options.machineRoot];
    const before = namespaceOf(options);
    if (options.isEnrolled !== false) await this.enrolMachine(name, { before, args: rootArgs });
    const args = [
      ...(options.node ?? []),
      options.main ?? 'src/bin/mobility-service.ts',
      '--settings',
      join(folder, 'settings'),
      '--state',
      join(folder, 'state'),
      '--runtime',
      join(folder, 'runtime'),
      '--thaw-helper',
      localThawHelper(),
      '--power-off',
      '/bin/true',
      ...rootArgs,
    ];
    const daemon = new Daemon(name, this.folder, args, before);
    this.daemons.push(daemon);
    if (options.isEnrolled !== false) daemon.start();
    return daemon;
  }

  /** As a person does it; again on a machine that has a state folder. */
  async enrolMachine(
    name: string,
    options: { readonly before?: readonly string[]; readonly args?: readonly string[] } = {},
  ): Promise<void> {
    await runMain(
      [
        'src/bin/mobility-service.ts',
        'enrol',
        ...['--state', join(this.folder, name, 'state'), '--runtime', join(this.folder, name, 'runtime')],
        ...['--configuration-server', `127.0.0.1:${this.port}`],
        ...['--key-file', await this.enrolmentKey()],
        ...(options.args ?? []),
      ],
      options.before,
    );
  }

  logs(): string {
    return this.daemons.map((daemon) => `--- ${daemon.name}\n${daemon.tail(25)}`).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of [...this.daemons].reverse()) await daemon.kill('SIGTERM').catch(() => {});
    // A configuration server that was killed leaves its database running.
    await endDatabase(join(this.folder, 'cs', 'database'));
    for (const itemId of this.itemIds)
      await tryRun('rmdir', [`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`], {
        timeoutMilliseconds: 10_000,
      });
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function namespaceOf({
  hostName,
  devices = {},
}: {
  readonly hostName?: string;
  readonly devices?: Readonly<Record<string, string>>;
}): string[] {
  const steps = [
    ...(hostName === undefined ? [] : [`hostname ${hostName}`]),
    ...Object.entries(devices).map(([path, other]) => `mount --bind ${other} ${path}`),
  ];
  if (steps.length === 0) return [];
  const kinds = [
    ...(hostName === undefined ? [] : ['--uts']),
    ...(Object.keys(devices).length === 0 ? [] : ['--mount']),
  ];
  return ['unshare', ...kinds, 'sh', '-c', `${steps.join(' && ')} && exec "$@"`, 'sh'];
}
