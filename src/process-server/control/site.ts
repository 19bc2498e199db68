/**
 * A process server of a site: enrolled at a configuration server, which tells it whom to serve.
 *
 *     wanted ──▶ keys/<item>.key, then items/<item>.json ──▶ reread ──▶ serving ──▶ taken
 *            └─▶ what is not wanted: items/<item>.json gone ──▶ reread ──▶ its key and its spool gone
 *
 *     <folder>/site/        who this process server is at its site, certificate of the site's authority
 *     <folder>/cache-tls/   certificate of the vault's authority, towards cache storage
 *     <folder>/items, keys, spool
 *
 * The assignments are the same files that may be written by hand; here the folder is the site's, and what it does not name
 * is taken away, whenever a crash came in between.
 */
import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import type { HealthEvent } from '../../model/health.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { AgentLink, enrolAgent, readAgent } from '../../protocol/control/agent-client.ts';
import type { EnrolmentKey, ProcessServerFigures, WantedAnswer } from '../../protocol/control/agent-link.ts';
import type { ProcessServerAssignment } from '../../protocol/control/assignment.ts';
import type { ProcessServerSettings } from '../../protocol/control/process-server-settings.ts';
import { processServerErrors } from '../errors.ts';
import type { ProcessServer } from '../server.ts';

export interface SiteSurroundings {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface EnrolProcessServer {
  /** Keys, spool, assignments. */
  readonly folder: string;
  readonly settingsPath: string;
  readonly name: string;
  readonly key: EnrolmentKey;
  readonly url?: string | undefined;
  /** Names and addresses that machines reach it by; the first is what they are told. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly statusPort: number;
  readonly spoolBytes: number;
}

export const processServerVersion = '0.1.0';
/** Of what is shown: a hundred halted items are as good as a thousand. */
const healthEventsMax = 50;
const renewLookMilliseconds = 3_600_000;

const siteFolder = (folder: string) => join(folder, 'site');
const cacheTlsFolder = (folder: string) => join(folder, 'cache-tls');

/** Enrols and writes the settings file. Safe to repeat. */
export async function enrolProcessServer(
  request: EnrolProcessServer,
  surroundings: SiteSurroundings,
): Promise<ProcessServerSettings> {
  const { folder, settingsPath, name, key, url, hosts, port, statusPort, spoolBytes } = request;
  const { files } = surroundings;
  const agent = await enrolAgent(
    { folder: siteFolder(folder), role: 'process-server', name, key, url, hosts },
    surroundings,
  );
  using link = new AgentLink({
    ...surroundings,
    folder: siteFolder(folder),
    agent,
    report: async () => {
      throw processServerErrors.ServerStopping(agent.agentId);
    },
    apply: async () => {},
    command: async () => {},
  });
  const urlPath = join(folder, 'cache-url');
  const given = await link.cacheCertificate(cacheTlsFolder(folder));
  if (given) await writeDurably(files, urlPath, Buffer.from(given.cacheUrl));
  const cacheUrl = (await readWhole(files, urlPath, 4096))!.toString();
  const at = (place: string) => ({
    caFile: join(place, 'ca.pem'),
    certificateFile: join(place, 'certificate.pem'),
    keyFile: join(place, 'key.pem'),
  });
  const settings: ProcessServerSettings = {
    listen: { host: '0.0.0.0', port },
    statusPort,
    tls: at(join(siteFolder(folder), 'tls')),
    spool: { folder: join(folder, 'spool'), quotaBytes: spoolBytes },
    cache: { type: 'vault', url: cacheUrl, tls: at(cacheTlsFolder(folder)) },
    itemsFolder: join(folder, 'items'),
    codecWorkers: 2,
    partSeconds: 5,
    logLevel: 'info',
    site: { folder },
  };
  await files.makeFolder(dirname(settingsPath));
  await writeDurably(files, settingsPath, Buffer.from(`${JSON.stringify(settings, null, 2)}\n`));
  return settings;
}

export interface SiteParts extends SiteSurroundings {
  readonly settings: ProcessServerSettings;
  readonly server: ProcessServer;
  readonly port: number;
  readonly reread: () => Promise<void>;
  /** A certificate was renewed: what uses it has to begin anew. */
  readonly onRenewed: () => void;
}

/** Until stopped. Nothing, where the process server is not of a site. */
export async function runSite(parts: SiteParts, signal: AbortSignal): Promise<void> {
  const { settings, files, clock, log } = parts;
  if (settings.site === undefined) return;
  const { folder } = settings.site;
  const agent = await readAgent(files, siteFolder(folder));
  if (!agent) throw processServerErrors.NotEnrolled(folder);
  const figures = new Figures(parts);
  const link: AgentLink = new AgentLink({
    ...parts,
    folder: siteFolder(folder),
    agent,
    report: async () => ({
      role: 'process-server',
      processServer: {
        processServerId: agent.agentId,
        name: agent.name.slice(0, 40),
        host: agent.hosts[0] ?? agent.name,
        port: parts.port,
        version: processServerVersion,
        ...(await figures.read()),
      },
    }),
    apply: (wanted) => apply(parts, folder, wanted),
    command: async () => {},
  });
  const renewing = async (): Promise<void> => {
    while (!signal.aborted) {
      await pause(clock, renewLookMilliseconds, signal);
      if (signal.aborted) return;
      try {
        if (await link.cacheCertificate(cacheTlsFolder(folder))) parts.onRenewed();
      } catch (error) {
        log.warn('cache-certificate-not-renewed', { error });
      }
    }
  };
  log.info('enrolled', { agentId: agent.agentId, urls: agent.urls });
  await Promise.all([link.run(signal), renewing()]);
}

async function apply(parts: SiteParts, folder: string, wanted: WantedAnswer['wanted']): Promise<void> {
  const { files, settings, reread } = parts;
  if (wanted.role !== 'process-server') throw processServerErrors.WrongAssignment(wanted.role);
  const keys = join(folder, 'keys');
  await files.makeFolder(keys);
  await files.makeFolder(settings.itemsFolder);
  const names = new Set<string>();
  for (const { itemId, name, itemKey, disks, machineIdentity } of wanted.items) {
    names.add(itemId);
    const keyPath = join(keys, `${itemId}.key`);
    const assignment: ProcessServerAssignment = {
      itemId,
      name,
      itemKeyFile: keyPath,
      disks,
      ...(machineIdentity === undefined ? {} : { machineIdentity }),
    };
    // The key first: an assignment without its key would be refused.
    await writeIfChanged(files, keyPath, Buffer.from(itemKey, 'base64'));
    await writeIfChanged(
      files,
      join(settings.itemsFolder, `${itemId}.json`),
      Buffer.from(`${JSON.stringify(assignment, null, 2)}\n`),
    );
  }
  for (const name of await files.list(settings.itemsFolder))
    if (name.endsWith('.json') && !names.has(name.slice(0, -'.json'.length)))
      await files.remove(join(settings.itemsFolder, name));
  await files.syncDirectory(settings.itemsFolder);
  await reread();
  const missing = [...names].filter((itemId) => parts.server.item(itemId) === undefined);
  if (missing.length > 0)
    throw processServerErrors.ItemHalted(missing[0]!, 'its assignment could not be taken');
  for (const name of await files.list(keys))
    if (!names.has(name.replace(/\.key$/, ''))) await files.remove(join(keys, name));
  for (const name of await files.list(settings.spool.folder))
    if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(name) && !names.has(name))
      await files.removeTree(join(settings.spool.folder, name));
}

async function writeIfChanged(files: Files, path: string, content: Buffer): Promise<void> {
  if ((await readWhole(files, path))?.equals(content)) return;
  await writeDurably(files, path, content);
}

/** How it is. Rates are those since the last reading. */
class Figures {
  readonly #parts: SiteParts;
  #cpu: { readonly busy: number; readonly total: number } | undefined;
  #sent: { readonly bytes: number; readonly at: number } | undefined;

  constructor(parts: SiteParts) {
    this.#parts = parts;
  }

  async read(): Promise<
    Omit<ProcessServerFigures, 'processServerId' | 'name' | 'host' | 'port' | 'version'>
  > {
    const { server, settings, files, clock } = this.#parts;
    const { items, spoolBytes } = server.status;
    const quota = settings.spool.quotaBytes;
    const free = await files.freeBytes(settings.spool.folder);
    const at = clock.monotonic();
    const sent = { bytes: server.sentBytes, at };
    const seconds = this.#sent === undefined ? 0 : (at - this.#sent.at) / 1000;
    const rate = seconds > 0 ? (sent.bytes - this.#sent!.bytes) / seconds : 0;
    this.#sent = sent;
    return {
      cpuPercent: await this.#cpuPercent(),
      memoryTotalBytes: totalmem(),
      memoryAvailableBytes: await availableBytes(),
      spoolTotalBytes: quota,
      spoolFreeBytes: Math.max(0, Math.min(quota - spoolBytes, free)),
      pendingBytes: items.reduce((sum, item) => sum + item.backlogBytes, 0),
      uploadBytesPerSecond: Math.max(0, rate),
      itemCount: items.length,
      health: items.flatMap((item) => haltedEvent(item.itemId, item.halted)).slice(0, healthEventsMax),
    };
  }

  async #cpuPercent(): Promise<number> {
    const line = (await readFile('/proc/stat', 'utf8')).split('\n')[0]!;
    const ticks = line.trim().split(/\s+/).slice(1).map(Number);
    const total = ticks.reduce((sum, each) => sum + each, 0);
    const busy = total - (ticks[3] ?? 0) - (ticks[4] ?? 0);
    const before = this.#cpu;
    this.#cpu = { busy, total };
    if (!before || total <= before.total) return 0;
    return Math.min(100, Math.max(0, ((busy - before.busy) * 100) / (total - before.total)));
  }
}

async function availableBytes(): Promise<number> {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1];
  return found === undefined ? freemem() : Number(found) * 1024;
}

function haltedEvent(itemId: string, halted: string | null): HealthEvent[] {
  if (halted === null) return [];
  const { code, summary, possibleCauses, recommendedAction } = processServerErrors.ItemHalted(itemId, halted);
  return [
    {
      code,
      severity: 'critical',
      summary: summary.slice(0, 2000),
      possibleCauses: possibleCauses.slice(0, 2000),
      recommendedAction: recommendedAction.slice(0, 2000),
      // Constant, so that a report without news is none.
      raisedAt: new Date(0).toISOString(),
      context: { itemId },
    },
  ];
}
