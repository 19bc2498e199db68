/**
 * A whole small world of real processes on loopback: a vault as `leeward vault` makes one, a site that registered with a key of
 * its API, a process server and as many machines as wanted, enrolled as a person would. Everything is asked for through the API;
 * replicas and logs are looked at where they lie. Used by the end-to-end tests and the benchmarks; the demo builds the same with a
 * machine of its own.
 *
 *     API ◀── test, `leeward` ──▶ vault ◀── link ── configuration server ◀── process server, mobility services ── loop devices
 *
 * Everything lives in one folder and ends with it. `kill` is kill -9.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../../src/platform/clock.ts';
import { tryRun } from '../../src/platform/exec.ts';
import { ArmClient } from '../../src/protocol/arm/client.ts';
import { Relay, type RelayFaults } from './relay.ts';
import { Daemon, eventually, freePort, runMain } from './site.ts';
import { endDatabase, RealSite } from './site-world.ts';

const root = join(import.meta.dirname, '..', '..');

/** As the mains' first lines have it: buffers count as heap, and the small heap that V8 begins with would be collected every
 * 5 MB that pass through. */
const roomyHeap = '--initial-old-space-size=256';

export interface TwoSitesOptions {
  /** Default: a new one. */
  readonly folder?: string;
  /** Of the vault's replica volume, XFS in a file. */
  readonly replicaBytes?: number;
  readonly spoolBytes?: number;
  /** How long the process server gathers changes before it seals them. */
  readonly partSeconds?: number;
}

export interface Policy {
  readonly crashConsistentSeconds: number;
  readonly applicationConsistentSeconds?: number;
}

const Owner = z.looseObject({
  tenantId: z.string(),
  subscriptionId: z.string(),
  clientId: z.string(),
  clientSecret: z.string(),
});

const Point = z.looseObject({
  name: z.string(),
  properties: z.looseObject({
    type: z.string(),
    method: z.string(),
    takenAt: z.string(),
    processedAt: z.string(),
    frozenMilliseconds: z.number(),
    heldMilliseconds: z.number().optional(),
    sizeBytes: z.number(),
    changedBytes: z.number(),
  }),
});
export type Point = z.infer<typeof Point>['properties'] & { readonly pointId: string };

const Replication = z.looseObject({
  itemId: z.string(),
  disks: z.array(
    z.looseObject({ diskId: z.string(), path: z.string(), state: z.string(), cause: z.string().optional() }),
  ),
  progress: z.array(z.unknown()),
  recoveryPointCount: z.number(),
  blocked: z.looseObject({ code: z.string() }).optional(),
});
export type Replication = z.infer<typeof Replication>;

const Event = z.looseObject({
  eventCode: z.string(),
  description: z.string(),
  timeOfOccurrence: z.string(),
});
export type Event = z.infer<typeof Event>;

const group = 'recovery';
const vaultName = 'main';
const fabric = 'branch';
const container = `/replicationFabrics/${fabric}/replicationProtectionContainers/${fabric}-container`;
const processServerName = 'ps1';
const ownHost = '127.0.0.1';
/** What machines are told of the process server: at this address of the loopback a test may put a relay in between. */
const processServerHost = '127.0.0.2';

export class TwoSites implements AsyncDisposable {
  readonly folder: string;
  /** The vault's data folder. */
  readonly vaultFolder: string;
  readonly vault: Daemon;
  readonly machines: Machine[] = [];
  #site!: RealSite;
  #processServer!: Daemon;
  #apiPort = 0;
  #client: ArmClient | undefined;
  #owner: z.infer<typeof Owner> | undefined;
  readonly #stop = new AbortController();
  readonly #policies = new Set<string>();

  private constructor(folder: string) {
    this.folder = folder;
    this.vaultFolder = join(folder, 'vault');
    this.vault = new Daemon('vault', folder, [
      roomyHeap,
      ...['src/bin/vault.ts', 'run', '--data', this.vaultFolder],
    ]);
  }

  static async start(options: TwoSitesOptions = {}): Promise<TwoSites> {
    const sites = new TwoSites(options.folder ?? (await mkdtemp(join(tmpdir(), 'leeward-sites-'))));
    try {
      await sites.#begin(options);
      return sites;
    } catch (error) {
      const logs = sites.logs();
      await sites[Symbol.asyncDispose]();
      throw new Error(`the two sites do not begin\n${logs}`, { cause: error });
    }
  }

  get site(): RealSite {
    return this.#site;
  }
  get processServer(): Daemon {
    return this.#processServer;
  }
  get spoolFolder(): string {
    return join(this.#processServerFolder, 'spool');
  }
  get statusPort(): number {
    return this.#settings().statusPort;
  }

  /** `path`: under the vault, e.g. `/replicationPolicies`. */
  async ask(method: string, path: string, body?: unknown): Promise<Any> {
    return (await this.#request(method, path, body)).body;
  }

  /** All pages. */
  async all(path: string, query: Readonly<Record<string, string>> = {}): Promise<Any[]> {
    const found: Any[] = [];
    for await (const row of this.#api().pages(`${this.#vaultPath}${path}`, query)) found.push(row);
    return found;
  }

  /** Waits until the operation's job has succeeded. */
  async done(method: string, path: string, body?: unknown, limitSeconds = 120): Promise<void> {
    const { jobId } = await this.#request(method, path, body);
    if (jobId === undefined) return;
    const ended = await eventually(`the job of ${method} ${path}`, limitSeconds, async () => {
      const { properties } = await this.ask('GET', `/replicationJobs/${jobId}`);
      return ['Succeeded', 'Failed', 'Cancelled'].includes(properties.state) ? properties : undefined;
    });
    if (ended.state !== 'Succeeded')
      throw new Error(`${method} ${path} ${ended.state}: ${JSON.stringify(ended.errors)}`);
  }

  /** The command line, signed in as the owner. */
  leeward(...args: string[]) {
    const owner = this.#owner!;
    return tryRun(process.execPath, [join(root, 'src/bin/leeward.ts'), ...args], {
      timeoutMilliseconds: 120_000,
      env: {
        PATH: process.env.PATH ?? '',
        XDG_CONFIG_HOME: join(this.folder, 'config'),
        LEEWARD_URL: this.#url,
        LEEWARD_CA_FILE: this.#caFile,
        LEEWARD_TENANT_ID: owner.tenantId,
        LEEWARD_CLIENT_ID: owner.clientId,
        LEEWARD_CLIENT_SECRET: owner.clientSecret,
        LEEWARD_SUBSCRIPTION_ID: owner.subscriptionId,
        LEEWARD_RESOURCE_GROUP: group,
        LEEWARD_VAULT: vaultName,
      },
    });
  }

  /** Enrols a machine with these disks and has it protected; replication has begun. */
  async protect(name: string, disks: readonly string[], policy: Policy): Promise<Machine> {
    const machine = await this.#enrolled(name, disks, policy);
    await machine.enable();
    return machine;
  }

  /** As `protect`, but the mobility service stands still before it takes its order: `service.resume` begins replication. */
  async prepare(name: string, disks: readonly string[], policy: Policy): Promise<Machine> {
    const machine = await this.#enrolled(name, disks, policy);
    await machine.service.pause();
    await machine.ordered();
    return machine;
  }

  /** Whatever a test before this one has killed runs again. */
  async ready(): Promise<void> {
    for (const daemon of [this.vault, this.#site.server, this.#processServer])
      if (!daemon.isRunning) daemon.start();
    await this.vaultAnswers();
  }

  /** The vault is restarted or was away: until its API answers. */
  async vaultAnswers(): Promise<void> {
    await eventually('the vault answers', 180, () => this.ask('GET', ''));
  }

  /** The process server again, with other settings. */
  async restartProcessServer(change: (settings: Any) => void): Promise<void> {
    await this.#processServer.kill('SIGTERM');
    const settings = this.#settings();
    change(settings);
    writeFileSync(this.#settingsPath, JSON.stringify(settings));
    this.#processServer.start();
  }

  /** Machines reach the process server through it from now on, until it is closed. */
  async relay(faults: RelayFaults = {}): Promise<Relay> {
    await this.restartProcessServer((settings) => {
      settings.listen.host = ownHost;
    });
    const port = this.#settings().listen.port;
    return (await Relay.to(port, faults, { host: processServerHost, port })).relay;
  }
  /** After the relay was closed. */
  withoutRelay(): Promise<void> {
    return this.restartProcessServer((settings) => {
      settings.listen.host = '0.0.0.0';
    });
  }

  /** What the daemons said last: for failing tests. */
  logs(): string {
    const said = (daemon: Daemon) =>
      existsSync(daemon.logPath) ? `== ${daemon.name}\n${daemon.tail()}` : `== ${daemon.name}: not started`;
    return [this.vault, ...(this.#site?.daemons ?? [])].map(said).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#client?.[Symbol.dispose]();
    await this.#site?.[Symbol.asyncDispose]();
    await this.vault.kill('SIGTERM');
    // A vault that was killed leaves its volume mounted and its database running.
    await endDatabase(join(this.vaultFolder, 'database'));
    await tryRun('umount', [join(this.vaultFolder, 'replica')], { timeoutMilliseconds: 30_000 });
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #begin({ replicaBytes = 4 * 2 ** 30, spoolBytes = 2 * 2 ** 30, partSeconds = 1 }: TwoSitesOptions) {
    this.#apiPort = await freePort();
    await runMain([
      ...['src/bin/vault.ts', 'init', '--data', this.vaultFolder, '--host', ownHost],
      ...['--port', String(await freePort()), '--api-port', String(this.#apiPort)],
      ...['--make-volume', String(replicaBytes / 2 ** 30)],
    ]);
    this.vault.start();
    this.#site = await RealSite.make(join(this.folder, 'site'));
    this.#owner = await eventually('the vault has an owner', 180, () =>
      Owner.parse(JSON.parse(readFileSync(join(this.vaultFolder, 'owner.json'), 'utf8'))),
    );
    await eventually('the vault makes a vault', 180, async () => {
      await this.ask('PUT', '', { location: 'local', sku: { name: 'RS0' }, properties: {} });
      return true;
    });
    const key = await this.ask('POST', '/registrationKeys', { properties: { fabricName: fabric } });
    await this.#site.register(key.properties.content);
    this.#site.server.start();
    this.#processServer = await this.#site.startProcessServer(processServerName, {
      host: processServerHost,
      node: [roomyHeap],
      change: (settings) => {
        settings.partSeconds = partSeconds;
        settings.spool.quotaBytes = spoolBytes;
      },
    });
    await eventually('the process server is known', 180, async () => {
      const { properties } = await this.ask('GET', `/replicationFabrics/${fabric}`);
      return properties.customDetails.processServers[0] as unknown;
    });
  }

  async #enrolled(name: string, disks: readonly string[], policy: Policy): Promise<Machine> {
    const policyName = await this.#policy(policy);
    const service = await this.#site.startMachine(name, { hostName: name });
    const protectable = await eventually(`${name} is protectable`, 180, async () =>
      (await this.all(`${container}/replicationProtectableItems`)).find(
        (each: Any) =>
          disks.every((path) =>
            each.properties.customDetails.diskDetails.some((disk: Any) => disk.diskId === path),
          ) && each.properties.friendlyName === name,
      ),
    );
    const machine = new Machine(this, {
      name,
      disks,
      service,
      enabling: {
        properties: {
          policyId: `${this.#vaultPath}/replicationPolicies/${policyName}`,
          protectableItemId: protectable.id,
          providerSpecificDetails: {
            instanceType: 'InMageAzureV2',
            // This machine says that it has all of the test machine's memory.
            targetVmSize: 'cpu1-memory1',
            disksToInclude: disks.map((diskId) => ({ diskId })),
          },
        },
      },
    });
    this.machines.push(machine);
    return machine;
  }

  async #policy({ crashConsistentSeconds, applicationConsistentSeconds = 0 }: Policy): Promise<string> {
    const name = `every-${crashConsistentSeconds}-${applicationConsistentSeconds}`;
    if (this.#policies.has(name)) return name;
    await this.done('PUT', `/replicationPolicies/${name}`, {
      properties: {
        providerSpecificInput: {
          instanceType: 'InMageAzureV2',
          recoveryPointThresholdInMinutes: 15,
          recoveryPointHistory: 1440,
          multiVmSyncStatus: 'Disable',
          leeward: { crashConsistentSeconds, applicationConsistentSeconds },
        },
      },
    });
    this.#policies.add(name);
    return name;
  }

  #request(method: string, path: string, body?: unknown) {
    return this.#api().request(method, `${this.#vaultPath}${path}`, body === undefined ? {} : { body });
  }

  #api(): ArmClient {
    this.#client ??= new ArmClient({
      url: this.#url,
      ca: readFileSync(this.#caFile, 'utf8'),
      ...this.#owner!,
      clock: systemClock,
      signal: this.#stop.signal,
    });
    return this.#client;
  }

  get #url(): string {
    return `https://${ownHost}:${this.#apiPort}`;
  }
  get #caFile(): string {
    return join(this.vaultFolder, 'authority', 'ca.pem');
  }
  get #vaultPath(): string {
    return `/subscriptions/${this.#owner!.subscriptionId}/resourceGroups/${group}/providers/Microsoft.RecoveryServices/vaults/${vaultName}`;
  }
  get #processServerFolder(): string {
    return join(this.#site.folder, processServerName);
  }
  get #settingsPath(): string {
    return join(this.#processServerFolder, 'process-server.json');
  }
  #settings(): Any {
    return JSON.parse(readFileSync(this.#settingsPath, 'utf8'));
  }
}

interface MachineParts {
  readonly name: string;
  readonly disks: readonly string[];
  readonly service: Daemon;
  readonly enabling: unknown;
}

/** A protected machine: the mobility service of a host name of its own, on disks of this one. */
export class Machine {
  readonly name: string;
  readonly service: Daemon;
  readonly #sites: TwoSites;
  readonly #disks: readonly string[];
  readonly #enabling: unknown;
  #known: Replication | undefined;

  constructor(sites: TwoSites, { name, disks, service, enabling }: MachineParts) {
    this.#sites = sites;
    this.name = name;
    this.service = service;
    this.#disks = disks;
    this.#enabling = enabling;
  }

  /** Of the item, under the vault. */
  get path(): string {
    return `${container}/replicationProtectedItems/${this.name}`;
  }
  get itemId(): string {
    return this.#known!.itemId;
  }
  /** In the order in which they were given. */
  get diskIds(): readonly string[] {
    return this.#disks.map((path) => this.#known!.disks.find((disk) => disk.path === path)!.diskId);
  }

  async enable(): Promise<void> {
    await this.#sites.done('PUT', this.path, this.#enabling);
    await this.#know();
  }

  /** Asked for, and taken by the process server; the machine itself may be away. */
  async ordered(): Promise<void> {
    await this.#sites.ask('PUT', this.path, this.#enabling);
    await eventually('the item is there', 180, () => this.#know());
    const assignment = join(this.#sites.spoolFolder, '..', 'items', `${this.itemId}.json`);
    await eventually('the process server has taken it', 180, () => existsSync(assignment) || undefined);
  }

  /** As it is now, disks and all. */
  async replication(): Promise<Replication> {
    return Replication.parse((await this.#sites.ask('GET', `${this.path}/replicationDetails`)).properties);
  }

  /** Newest first. */
  async points(limit = 1000): Promise<Point[]> {
    const found = await this.#sites.all(`${this.path}/recoveryPointDetails`, {
      $top: String(Math.min(limit, 200)),
    });
    return found.slice(0, limit).map((row) => {
      const { name, properties } = Point.parse(row);
      return { ...properties, pointId: name };
    });
  }

  /** The newest point taken after the moment, once there is one. */
  pointAfter(moment: number, limitSeconds = 120): Promise<Point> {
    return eventually(`a recovery point of ${this.name}`, limitSeconds, async () => {
      const { value } = await this.#sites.ask('GET', `${this.path}/recoveryPointDetails?$top=1`);
      const newest = value[0] === undefined ? undefined : Point.parse(value[0]);
      return newest !== undefined && Date.parse(newest.properties.takenAt) > moment
        ? { ...newest.properties, pointId: newest.name }
        : undefined;
    });
  }

  /** What the data plane noticed of it, newest first. */
  async events(): Promise<Event[]> {
    const found = await this.#sites.all('/replicationEvents', {
      $filter: `affectedObjectCorrelationId eq '${this.itemId}'`,
    });
    return found.map(({ properties }) => Event.parse(properties));
  }
  async eventCodes(): Promise<string[]> {
    return (await this.events()).map(({ eventCode }) => eventCode);
  }

  /** Comparisons and first copies that its service has planned: `resync Requested`. */
  walks(): string[] {
    return readFileSync(this.service.logPath, 'utf8')
      .split('\n')
      .filter((line) => line.includes('walk-planned'))
      .map((line) => {
        const { kind, cause } = z
          .looseObject({ kind: z.string(), cause: z.string() })
          .parse(JSON.parse(line));
        return `${kind} ${cause}`;
      });
  }

  /** The file that is a disk of a recovery point. */
  pointPath({ pointId }: Pick<Point, 'pointId'>, diskIndex = 0): string {
    const disk = `${this.diskIds[diskIndex]}.raw`;
    return join(this.#sites.vaultFolder, 'replica', this.itemId, 'points', pointId, disk);
  }

  get traceInstance(): string {
    return `/sys/kernel/tracing/instances/leeward-${this.itemId.slice(0, 8)}`;
  }

  /** Protection is disabled and the service stopped. What cannot be disabled any more is only stopped. */
  async end(): Promise<void> {
    if (this.service.isRunning && this.#known !== undefined)
      await this.#sites
        .done('POST', `${this.path}/remove`, {
          properties: { disableProtectionReason: 'NotSpecified', replicationProviderInput: {} },
        })
        .catch(() => {});
    await this.service.kill('SIGTERM').catch(() => {});
    if (this.#known !== undefined && existsSync(this.traceInstance)) rmdirSync(this.traceInstance);
  }

  async #know(): Promise<true> {
    this.#known = await this.replication();
    this.#sites.site.itemIds.push(this.itemId);
    return true;
  }
}

/** Segments of an item that the vault has not applied yet, whole with their manifest: nobody will put them again. */
export function waitingSegments(sites: TwoSites, machine: Machine): string[] {
  const folder = join(sites.vaultFolder, 'cache', 'items', machine.itemId, 'segments');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.seg='))
    .map((name) => join(folder, name))
    .filter((path) =>
      existsSync(path.replace('/segments/', '/manifests/').replace(/(\/\d{16})-[^/]*$/, '$1.json=')),
    );
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are looked into here as any client would
type Any = any;
