/**
 * A whole small world of real processes on loopback: a vault with its embedded database and replica volume, a process
 * server, and as many mobility services as wanted, each started from its own main with its own settings, as the units
 * would. Used by the end-to-end tests, the benchmarks and nothing else; the demo builds the same across namespaces.
 *
 * Everything lives in one folder and ends with it. `kill` is kill -9.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { z as zod } from 'zod';
import { type AdminClient, adminClient } from '../../src/cli/admin-client.ts';
import { ItemView, PointView } from '../../src/protocol/control/vault-admin.ts';
import { localThawHelper } from '../../tools/agent/thaw-helper.ts';

const root = join(import.meta.dirname, '..', '..');

/** As `src/bin/leeward.ts` and the mains' first lines have it: buffers count as heap, and the small heap that V8 begins
 * with would be collected every 5 MB that pass through. */
const roomyHeap = '--initial-old-space-size=256';

/** A condition with a limit; what everything here waits by. */
export async function eventually<T>(
  what: string,
  limitSeconds: number,
  condition: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + limitSeconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${limitSeconds} s`, { cause: last });
    await sleep(100);
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return port;
}

/** A daemon of ours that can be started, killed and started again; its output goes to a log file. */
export class Daemon {
  readonly name: string;
  readonly logPath: string;
  readonly #program: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** `before`: a program that becomes Node, e.g. `unshare --uts`. */
  constructor(name: string, folder: string, args: readonly string[], before: readonly string[] = []) {
    this.name = name;
    this.logPath = join(folder, `${name}.log`);
    [this.#program, ...this.#args] = [...before, process.execPath, ...args] as [string, ...string[]];
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  start(): void {
    if (this.isRunning) throw new Error(`${this.name} is running already`);
    const log = openSync(this.logPath, 'a');
    const child = spawn(this.#program, [...this.#args], {
      cwd: root,
      stdio: ['ignore', log, log],
      env: { ...process.env, UV_THREADPOOL_SIZE: '8' },
    });
    this.#child = child;
    this.#ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
    });
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.isRunning) return;
    this.#child!.kill(signal);
    const late = sleep(30_000, 'late', { ref: false });
    if ((await Promise.race([this.#ended, late])) === 'late') {
      this.#child!.kill('SIGKILL');
      await this.#ended;
      throw new Error(`${this.name} did not end within 30 s of ${signal}\n${this.tail()}`);
    }
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  tail(lines = 30): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-lines).join('\n');
  }
}

export interface SiteOptions {
  readonly folder: string;
  /** Of the vault's replica volume, XFS in a file. */
  readonly replicaBytes?: number;
  readonly spoolBytes?: number;
  readonly partSeconds?: number;
}

export interface Machine {
  readonly name: string;
  readonly itemId: string;
  readonly diskIds: readonly string[];
  readonly service: Daemon;
  /** The mobility service's settings folder. */
  readonly settings: string;
  item(): Promise<ItemView>;
  points(): Promise<PointView[]>;
  /** The newest point taken after the moment, once there is one. */
  pointAfter(moment: number, limitSeconds?: number): Promise<PointView>;
}

export class Site implements AsyncDisposable {
  readonly folder: string;
  readonly vault: Daemon;
  readonly processServer: Daemon;
  readonly vaultFolder: string;
  readonly admin: AdminClient;
  readonly machines: Machine[] = [];
  processServerPort = 0;

  private constructor(options: SiteOptions) {
    this.folder = options.folder;
    this.vaultFolder = join(options.folder, 'vault');
    this.vault = new Daemon('vault', options.folder, [
      roomyHeap,
      'src/bin/vault.ts',
      'run',
      '--data',
      this.vaultFolder,
    ]);
    this.processServer = new Daemon('process-server', options.folder, [
      roomyHeap,
      'src/bin/process-server.ts',
      '--settings',
      join(options.folder, 'process-server', 'process-server.json'),
    ]);
    this.admin = adminClient(this.vaultFolder);
  }

  static async start(options: SiteOptions): Promise<Site> {
    mkdirSync(options.folder, { recursive: true });
    const site = new Site(options);
    const vaultPort = await freePort();
    site.processServerPort = await freePort();
    const statusPort = await freePort();
    await runMain([
      'src/bin/vault.ts',
      'init',
      '--data',
      site.vaultFolder,
      '--host',
      '127.0.0.1',
      '--port',
      String(vaultPort),
      '--api-port',
      '0',
      '--make-volume',
      String((options.replicaBytes ?? 4 * 2 ** 30) / 2 ** 30),
    ]);
    site.vault.start();
    await eventually('the vault answers', 60, () => site.call(zod.array(ItemView), 'GET', '/items'));
    const home = join(options.folder, 'process-server');
    await site.call(zod.unknown(), 'POST', '/process-servers', {
      name: 'ps1',
      host: '127.0.0.1',
      port: site.processServerPort,
      outFolder: home,
      spoolBytes: options.spoolBytes ?? 2 * 2 ** 30,
      installedAt: home,
    });
    const settingsPath = join(home, 'process-server.json');
    const written = JSON.parse(readFileSync(settingsPath, 'utf8')) as Record<string, unknown>;
    writeFileSync(
      settingsPath,
      JSON.stringify({
        ...written,
        listen: { host: '127.0.0.1', port: site.processServerPort },
        statusPort,
        partSeconds: options.partSeconds ?? 1,
      }),
    );
    site.processServer.start();
    return site;
  }

  call<T extends z.ZodType>(
    schema: T,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<z.infer<T>> {
    return this.admin.call(schema, method, path, body);
  }

  /** Registers a machine with these disks; its service is made but not started. */
  async protect(
    name: string,
    disks: readonly string[],
    policy: { readonly crashConsistentSeconds: number; readonly applicationConsistentSeconds?: number },
    /** Where the service connects; default: the process server itself. */
    port = this.processServerPort,
  ): Promise<Machine> {
    const outFolder = join(this.folder, name);
    const settings = join(outFolder, 'mobility-service');
    const view = await this.call(ItemView, 'POST', '/items', {
      name,
      disks,
      processServer: 'ps1',
      outFolder,
      mobilityServiceAt: settings,
      processServerAt: join(this.folder, 'process-server'),
      crashConsistentSeconds: policy.crashConsistentSeconds,
      applicationConsistentSeconds: policy.applicationConsistentSeconds ?? 0,
    });
    const home = join(this.folder, 'process-server');
    mkdirSync(join(home, 'keys'), { recursive: true });
    for (const file of [`keys/${view.itemId}.key`, `items/${view.itemId}.json`])
      writeFileSync(join(home, file), readFileSync(join(outFolder, 'process-server', file)), { mode: 0o600 });
    if (port !== this.processServerPort) {
      const path = join(settings, 'assignment.json');
      const assignment = JSON.parse(readFileSync(path, 'utf8')) as { processServer: { port: number } };
      assignment.processServer.port = port;
      writeFileSync(path, JSON.stringify(assignment));
    }
    const service = new Daemon(`mobility-${name}`, this.folder, [
      'src/bin/mobility-service.ts',
      '--settings',
      settings,
      '--state',
      join(outFolder, 'state'),
      '--runtime',
      join(outFolder, 'runtime'),
      '--thaw-helper',
      localThawHelper(),
    ]);
    const points = () => this.call(zod.array(PointView), 'GET', `/items/${name}/points?limit=1000`);
    const machine: Machine = {
      name,
      itemId: view.itemId,
      diskIds: view.disks.map(({ diskId }) => diskId),
      service,
      settings,
      item: () => this.call(ItemView, 'GET', `/items/${name}`),
      points,
      pointAfter: (moment, limitSeconds = 60) =>
        eventually(`a recovery point of ${name}`, limitSeconds, async () =>
          (await points()).find(({ takenAt }) => Date.parse(takenAt) >= moment),
        ),
    };
    this.machines.push(machine);
    return machine;
  }

  /** The file that is a disk of a recovery point. */
  pointPath(machine: Machine, point: PointView, diskIndex = 0): string {
    return join(
      this.vaultFolder,
      'replica',
      machine.itemId,
      'points',
      point.pointId,
      `${machine.diskIds[diskIndex]}.raw`,
    );
  }

  /** What the daemons said last: for failing tests. */
  logs(): string {
    return [this.vault, this.processServer, ...this.machines.map(({ service }) => service)]
      .map((daemon) => `== ${daemon.name}\n${daemon.tail()}`)
      .join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { service, itemId } of this.machines) {
      await service.kill('SIGTERM');
      // A stopped service leaves its rings recording, for its next start; here there is none.
      const instance = `/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`;
      if (existsSync(instance)) rmdirSync(instance);
    }
    await this.processServer.kill('SIGTERM');
    await this.vault.kill('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function runMain(args: readonly string[], before: readonly string[] = []): Promise<void> {
  const [program, ...rest] = [...before, process.execPath, ...args] as [string, ...string[]];
  const child = spawn(program, rest, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${said}`);
}
