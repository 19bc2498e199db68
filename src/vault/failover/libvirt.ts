/**
 * Failover to libvirt: a loan's disks become a QEMU machine, through virsh and nothing else. libvirtd may be the host's
 * own or one that runs in a network namespace; the connection URI says which.
 *
 * An isolated network is a bridge of its own with DHCP, no gateway and no names. Packet filters close it both ways: the
 * machine on it reaches neither this host's other addresses nor what lies behind them. That matters beyond politeness:
 * the machine is a copy of a living one, with its addresses, its certificates and its mobility service. The vault may
 * still open connections into it, to see whether it answers.
 *
 * Promises: `start` twice is `start` once; `remove` leaves neither machine, network, filter, log nor socket, also after
 * a crash anywhere in `start`. The machine is defined before its filter and its network are made, so that a filter or a
 * network without a machine that names it is always a leftover. Other vault processes do the same at any moment, with
 * machines of the same network too: whoever looks for leftovers looks for machines last, and what goes meanwhile is gone.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Clock, until } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { type RunResult, tryRun } from '../../platform/exec.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import { type AcceleratorChoice, chooseAccelerator } from './accelerator.ts';
import { assertDefinition, domainXml, isolatedNetworkXml } from './domain-xml.ts';
import { errors } from './errors.ts';
import {
  connectMilliseconds,
  consoleBytesMax,
  consoleLinesQuoted,
  isolatedNetworksMax,
  readinessPollMilliseconds,
  screenshotBytesMax,
  virshMilliseconds,
} from './limits.ts';
import type {
  FailoverProvider,
  HostRoom,
  MachineDefinition,
  MachinePower,
  ReadinessCheck,
} from './provider.ts';
import { toPng } from './screen.ts';

export interface LibvirtSettings {
  /** E.g. `qemu:///system`, or `qemu+unix:///system?socket=/run/…/libvirt-sock`. */
  readonly uri: string;
  /** Console logs and display sockets. Short: a socket's path has at most 107 characters. */
  readonly folder: string;
  /** What to put before commands that must run where the hypervisor's network is, e.g. `ip netns exec NAME`. */
  readonly commandPrefix?: readonly string[] | undefined;
  /** `auto` tries KVM with a real kernel; `tcg` never does. */
  readonly accelerator?: 'auto' | 'tcg' | undefined;
  /** The kernel that KVM is tried with; default: the one this host runs. */
  readonly probeKernel?: string | undefined;
}

/** By its path: an npm package brings a program of this name, and `npm run` and `make` put those first. */
const nft = '/usr/sbin/nft';
/** Bridges of our networks; an interface name has at most 15 characters. */
const bridgePrefix = 'lwt';

export class LibvirtProvider implements FailoverProvider {
  readonly #settings: LibvirtSettings;
  readonly #clock: Clock;
  readonly #files: Files;
  #accelerator: Promise<AcceleratorChoice> | undefined;
  /** Starts and removals of this process one after the other: both look at which networks are in use. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(settings: LibvirtSettings, clock: Clock, files: Files) {
    this.#settings = settings;
    this.#clock = clock;
    this.#files = files;
  }

  async check(): Promise<AcceleratorChoice> {
    const capabilities = await this.#virsh(['domcapabilities', '--virttype', 'qemu', '--arch', 'x86_64']);
    if (capabilities.exitCode !== 0) {
      const why = capabilities.stderr.trim();
      if (/failed to connect|cannot connect|no such file/i.test(why))
        throw errors.HypervisorUnreachable(this.#settings.uri, why);
      throw errors.HypervisorCannotRunMachines(this.#settings.uri, why);
    }
    this.#accelerator ??= chooseAccelerator(
      this.#files,
      this.#settings.accelerator ?? 'auto',
      this.#settings.probeKernel,
    );
    return this.#accelerator;
  }

  async room(): Promise<HostRoom> {
    const node = await this.#must(['nodeinfo']);
    const field = (text: string, name: string): number | undefined => {
      const found = new RegExp(`^${name}\\s*:\\s*(\\d+)`, 'm').exec(text)?.[1];
      return found === undefined ? undefined : Number(found);
    };
    const cpuCount = field(node, 'CPU\\(s\\)');
    // Not every driver counts its caches; then the whole memory is the only limit that is known.
    const memory = (await this.#virsh(['nodememstats'])).stdout;
    const parts = ['free', 'buffers', 'cached'].map((name) => field(memory, name));
    const kibibytes = parts.every((part) => part !== undefined)
      ? parts.reduce((sum, part) => sum + part, 0)
      : field(node, 'Memory size');
    if (cpuCount === undefined || kibibytes === undefined)
      throw errors.HypervisorCannotRunMachines(
        this.#settings.uri,
        'it does not say how many processors and how much memory it has',
      );
    return { cpuCount, memoryMebibytes: Math.floor(kibibytes / 1024) };
  }

  async start(machine: MachineDefinition): Promise<void> {
    assertDefinition(machine);
    const { accelerator } = await this.check();
    await this.#inTurn(async () => {
      if (await this.isRunning(machine.name)) return;
      await this.#undefine(machine.name);
      await this.#define(machine, accelerator);
      await this.#powerOn(machine);
    });
  }

  async startAgain(machine: MachineDefinition): Promise<void> {
    assertDefinition(machine);
    const { accelerator } = await this.check();
    await this.#inTurn(async () => {
      const { state } = await this.power(machine.name);
      if (state === 'running') return;
      if (state === 'missing') await this.#define(machine, accelerator);
      await this.#powerOn(machine);
    });
  }

  async power(name: string): Promise<MachinePower> {
    const result = await this.#virsh(['domstate', name, '--reason']);
    if (result.exitCode !== 0) {
      if (isMissing(result)) return { state: 'missing' };
      throw errors.HypervisorUnreachable(this.#settings.uri, result.stderr.trim());
    }
    const [, state = '', reason = ''] = /^(.*?)(?: \((.*)\))?$/.exec(result.stdout.trim()) ?? [];
    if (state === 'shut off' || state === 'crashed') return { state: 'off', reason: reason || state };
    return state === 'paused' || state === 'pmsuspended' ? { state: 'paused', reason } : { state: 'running' };
  }

  async #define(machine: MachineDefinition, accelerator: AcceleratorChoice['accelerator']): Promise<void> {
    await this.#files.makeFolder(this.#settings.folder);
    const xml = domainXml(machine, {
      accelerator,
      consoleLog: this.#path(machine.name, 'console'),
      displaySocket: this.#path(machine.name, 'vnc'),
    });
    this.#mustStart(machine, await this.#virshWith(xml, machine.name, (path) => ['define', path]));
  }

  #mustStart(machine: MachineDefinition, result: RunResult): void {
    if (result.exitCode !== 0) throw errors.MachineNotStarted(machine.name, result.stderr.trim());
  }

  async #powerOn(machine: MachineDefinition): Promise<void> {
    if (machine.network.mode === 'isolated') await this.#makeIsolated(machine.network.name, machine.name);
    else if (!(await this.#networks()).includes(machine.network.name))
      throw errors.NetworkUnknown(machine.network.name);
    this.#mustStart(machine, await this.#virsh(['start', machine.name]));
  }

  async waitUntilReady(
    name: string,
    check: ReadinessCheck,
    limitMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<{ readonly address?: string }> {
    let address: string | undefined;
    const seen = async (): Promise<true | undefined> => {
      signal?.throwIfAborted();
      if (!(await this.isRunning(name))) throw errors.MachineGone(name);
      if (check.type === 'power') return true;
      if (check.type === 'console')
        return (await this.#console(name)).includes(check.text) ? true : undefined;
      address ??= await this.#address(name);
      return address !== undefined && (await this.#answers(address, check.port)) ? true : undefined;
    };
    const awaited =
      check.type === 'console'
        ? `"${check.text}" on its console`
        : check.type === 'port'
          ? `an open port ${check.port}`
          : 'power';
    const lines = async () =>
      (await this.#console(name))
        .split(/\r?\n/)
        // Terminal sequences are for terminals.
        .map((line) => line.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[c()][B0]?|\r/g, '').trimEnd())
        .filter((line) => line !== '')
        .slice(-consoleLinesQuoted)
        .join('\n');
    const late = new Error('late');
    try {
      await until(this.#clock, limitMilliseconds, seen, () => late, readinessPollMilliseconds);
    } catch (error) {
      if (error !== late) throw error;
      throw errors.MachineDidNotAnswer(name, awaited, limitMilliseconds / 1000, await lines());
    }
    address ??= await this.#address(name);
    return address === undefined ? {} : { address };
  }

  async screenshot(name: string): Promise<Buffer> {
    const path = this.#path(name, 'screen');
    try {
      const result = await this.#virsh(['screenshot', name, '--file', path]);
      if (result.exitCode !== 0) throw errors.ScreenshotFailed(name, result.stderr.trim());
      const image = await readWhole(this.#files, path, screenshotBytesMax);
      if (image === undefined) throw errors.ScreenshotFailed(name, 'no file was written');
      return toPng(image);
    } catch (error) {
      throw error instanceof RangeError ? errors.ScreenshotFailed(name, error) : error;
    } finally {
      await this.#files.remove(path);
    }
  }

  async isRunning(name: string): Promise<boolean> {
    const result = await this.#virsh(['domstate', name]);
    if (result.exitCode === 0) return result.stdout.trim() === 'running';
    if (isMissing(result)) return false;
    throw errors.HypervisorUnreachable(this.#settings.uri, result.stderr.trim());
  }

  async remove(name: string): Promise<void> {
    await this.#inTurn(async () => {
      await this.#undefine(name);
      await this.#sweepNetworks();
      for (const kind of ['console', 'vnc', 'screen', 'xml', 'xml.draft', 'nft', 'nft.draft'])
        await this.#files.remove(this.#path(name, kind));
    });
  }

  async list(): Promise<string[]> {
    return lines(await this.#must(['list', '--all', '--name']));
  }

  async #undefine(name: string): Promise<void> {
    for (const args of [
      ['destroy', name],
      ['undefine', name, '--nvram', '--managed-save', '--snapshots-metadata'],
    ]) {
      const result = await this.#virsh(args);
      if (result.exitCode !== 0 && !isMissing(result) && !/is not running/i.test(result.stderr))
        throw errors.HypervisorUnreachable(this.#settings.uri, result.stderr.trim());
    }
  }

  /** Files are named by the machine, of which one process starts each; the network may be several machines'. */
  async #makeIsolated(name: string, machine: string): Promise<void> {
    const digest = createHash('sha256').update(name).digest();
    const bridge = bridgeOf(name);
    if ((await this.#networks()).includes(name)) {
      // Made by another machine of the same test; the filter is set again, in case a crash came between.
      await this.#close(name, bridge, machine);
      return;
    }
    const taken = new Set<string>();
    for (const other of await this.#networks()) {
      const match = /<ip address='(\d+\.\d+\.\d+)\.1'/.exec(
        (await this.#virsh(['net-dumpxml', other])).stdout,
      );
      if (match) taken.add(match[1]!);
    }
    let subnet: string | undefined;
    for (let step = 0; step < isolatedNetworksMax && subnet === undefined; step++) {
      const candidate = `10.213.${(digest.readUInt16LE(8) + step) % isolatedNetworksMax}`;
      if (!taken.has(candidate)) subnet = candidate;
    }
    if (subnet === undefined)
      throw errors.NetworkNotIsolated(name, `all ${isolatedNetworksMax} isolated networks are in use`);
    // The filter first: there is no moment at which the network is open.
    await this.#close(name, bridge, machine);
    const made = await this.#virshWith(isolatedNetworkXml({ name, bridge, subnet }), machine, (path) => [
      'net-create',
      path,
    ]);
    // Or made meanwhile by another process, for another machine of the same test. The filter stays either way: who else comes
    // relies on it, and it goes with the last machine.
    if (made.exitCode !== 0 && !(await this.#networks()).includes(name))
      throw errors.NetworkNotIsolated(name, made.stderr.trim());
  }

  /** In both directions, IPv4 and IPv6: only DHCP, and answers to what the vault itself asks. */
  async #close(name: string, bridge: string, machine: string): Promise<void> {
    const table = `leeward_${bridge}`;
    const rules = `table inet ${table}
delete table inet ${table}
table inet ${table} {
  chain input {
    type filter hook input priority -50; policy accept;
    iifname "${bridge}" udp dport 67 accept
    iifname "${bridge}" ct state established,related accept
    iifname "${bridge}" drop
  }
  chain forward {
    type filter hook forward priority -50; policy accept;
    iifname "${bridge}" drop
    oifname "${bridge}" drop
  }
}
`;
    const path = this.#path(machine, 'nft');
    try {
      await writeDurably(this.#files, path, Buffer.from(rules));
      const result = await this.#inNetwork(nft, ['-f', path]);
      if (result.exitCode !== 0) throw errors.NetworkNotIsolated(name, result.stderr.trim());
    } finally {
      await this.#files.remove(path);
    }
    // Believed only when it is seen: an open network with a copy of a living machine on it is the worst case here.
    const seen = await this.#inNetwork(nft, ['list', 'table', 'inet', table]);
    if (!seen.stdout.includes(`iifname "${bridge}" drop`))
      throw errors.NetworkNotIsolated(name, 'the filter is not there after it was set');
  }

  async #open(bridge: string): Promise<void> {
    const result = await this.#inNetwork(nft, ['delete', 'table', 'inet', `leeward_${bridge}`]);
    if (result.exitCode !== 0 && !/no such file/i.test(result.stderr))
      throw errors.NetworkNotIsolated(bridge, result.stderr.trim());
  }

  /** Networks and filters of ours that no machine names any more: machines last, see above. */
  async #sweepNetworks(): Promise<void> {
    const tables = await this.#inNetwork(nft, ['list', 'tables', 'inet']);
    const networks = await this.#networks();
    const used = new Set<string>();
    for (const machine of await this.list())
      for (const match of (await this.#unlessGone(['dumpxml', machine])).matchAll(
        /<source network='([^']+)'/g,
      ))
        used.add(match[1]!);
    for (const network of networks) {
      if (used.has(network)) continue;
      const bridge = /<bridge name='([^']+)'/.exec(await this.#unlessGone(['net-dumpxml', network]))?.[1];
      if (bridge?.startsWith(bridgePrefix)) await this.#unlessGone(['net-destroy', network]);
    }
    const kept = new Set([...used].map(bridgeOf));
    for (const match of tables.stdout.matchAll(/^table inet leeward_(lwt[0-9a-f]+)$/gm))
      if (!kept.has(match[1]!)) await this.#open(match[1]!);
  }

  async #networks(): Promise<string[]> {
    return lines(await this.#must(['net-list', '--all', '--name']));
  }

  async #address(name: string): Promise<string | undefined> {
    const result = await this.#virsh(['domifaddr', name, '--source', 'lease']);
    return /\bipv4\s+(\d+\.\d+\.\d+\.\d+)/.exec(result.stdout)?.[1];
  }

  async #answers(address: string, port: number): Promise<boolean> {
    const prefix = this.#settings.commandPrefix ?? [];
    if (prefix.length === 0) return connects(address, port);
    // The vault's process is elsewhere than the network: a program that runs there has to look.
    const result = await this.#inNetwork('socat', [
      '-u',
      'OPEN:/dev/null',
      `TCP4:${address}:${port},connect-timeout=${connectMilliseconds / 1000}`,
    ]);
    return result.exitCode === 0;
  }

  /** The newest part of the machine's console; empty before it exists. */
  async #console(name: string): Promise<string> {
    const path = this.#path(name, 'console');
    const sizeBytes = await this.#files.sizeBytes(path);
    if (sizeBytes === undefined) return '';
    await using file = await this.#files.open(path, 'read');
    const tail = Buffer.alloc(Math.min(sizeBytes, consoleBytesMax));
    return tail.toString('latin1', 0, await file.read(tail, sizeBytes - tail.byteLength));
  }

  #path(name: string, kind: string): string {
    // A hash instead of the name: sockets' paths are short.
    return join(
      this.#settings.folder,
      `${createHash('sha256').update(name).digest('hex').slice(0, 16)}.${kind}`,
    );
  }

  async #must(args: readonly string[]): Promise<string> {
    const result = await this.#virsh(args);
    if (result.exitCode !== 0) throw errors.HypervisorUnreachable(this.#settings.uri, result.stderr.trim());
    return result.stdout;
  }

  /** Of something that another process may be removing: then nothing. */
  async #unlessGone(args: readonly string[]): Promise<string> {
    const result = await this.#virsh(args);
    if (result.exitCode !== 0 && !isMissing(result))
      throw errors.HypervisorUnreachable(this.#settings.uri, result.stderr.trim());
    return result.stdout;
  }

  /** A document goes by way of a file: virsh cannot open the kind of standard input that a child process has here. */
  async #virshWith(
    document: string,
    name: string,
    args: (path: string) => readonly string[],
  ): Promise<RunResult> {
    const path = this.#path(name, 'xml');
    try {
      await writeDurably(this.#files, path, Buffer.from(document));
      return await this.#virsh(args(path));
    } finally {
      await this.#files.remove(path);
    }
  }

  async #virsh(args: readonly string[]): Promise<RunResult> {
    try {
      return await tryRun('virsh', ['--quiet', '--connect', this.#settings.uri, ...args], {
        timeoutMilliseconds: virshMilliseconds,
        // Messages are read here, so they are asked for in one language.
        env: { LC_ALL: 'C' },
      });
    } catch (cause) {
      throw cause instanceof LeewardError ? errors.HypervisorUnreachable(this.#settings.uri, cause) : cause;
    }
  }

  async #inNetwork(program: string, args: readonly string[]): Promise<RunResult> {
    const [first, ...rest] = [...(this.#settings.commandPrefix ?? []), program, ...args];
    return tryRun(first!, rest, { timeoutMilliseconds: virshMilliseconds });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

const isMissing = (result: RunResult): boolean =>
  /failed to get (domain|network)|no (domain|network) with matching|(domain|network) not found|network .* is not active/i.test(
    result.stderr,
  );

/** The same for whoever asks: by it a filter is known for its network's. */
function bridgeOf(network: string): string {
  return `${bridgePrefix}${createHash('sha256').update(network).digest().toString('hex', 0, 5)}`;
}

function connects(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: connectMilliseconds });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}
