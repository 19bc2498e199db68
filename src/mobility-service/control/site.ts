/**
 * A mobility service that is enrolled at a configuration server: what it is told to replicate becomes the same assignment
 * file that may be written by hand, and the service takes it live.
 *
 *     wanted ──▶ certificate for the item ──▶ assignment.json ──▶ reload ──▶ replicating ──▶ taken
 *     nothing ─▶ assignment.json renamed to removed.json ──▶ reload ──▶ trace rings, maps, certificates gone ──▶ taken
 *
 *     <state>/site/agent.json, tls/     who this machine is at its site
 *     <state>/site/assignment.json      what it replicates
 *     <state>/site/removed.json         what it has to take away, until that is done: a crash in between loses nothing
 *     <state>/site/tls/ticket           that it reported last, and not a copy of it
 *     <state>/site/items/<id>/          certificate for the stream
 *     <settings>/scripts.json           the operator's scripts, if there are any
 *
 * Loaded only where a machine is enrolled: an assignment by hand needs none of it, and it costs memory.
 */
import { join } from 'node:path';
import type { Bookmark } from '../../model/bookmark.ts';
import { type Clock, until, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { run } from '../../platform/exec.ts';
import { readWhole, systemFiles, writeDurably } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import { type Random, systemRandom } from '../../platform/random.ts';
import { parseJson } from '../../platform/settings.ts';
import { AgentLink, readAgent } from '../../protocol/control/agent-client.ts';
import type {
  AgentCommand,
  Farewell,
  MachineInventory,
  MachineWanted,
  WantedAnswer,
} from '../../protocol/control/agent-link.ts';
import { MobilityAssignment } from '../../protocol/control/assignment.ts';
import { errors } from '../errors.ts';
import { goodByeMilliseconds, lastBookmarkMilliseconds } from '../limits.ts';
import { inventory } from './inventory.ts';
import type { StoppedWriters } from './writers.ts';

/** How the service that has been enrolled runs what it is told. */
export interface Runs {
  /**
   * Ends what runs and begins with the files as they are now. Resolves when it replicates, or rests because there is nothing
   * to replicate and what there was is taken away; rejects with what keeps it from replicating.
   */
  reload(): Promise<void>;
  /** As `reload`, without ending anything. */
  settled(): Promise<void>;
  takeBookmark(
    type: Extract<AgentCommand, { command: 'take-bookmark' }>['type'],
    signal: AbortSignal,
  ): Promise<Bookmark>;
}

export interface SiteParts {
  /** `<state>/site`. */
  readonly folder: string;
  /** What this machine is. */
  readonly identity: () => Promise<string>;
  /** Hears what came of each report: a copy is told there that it is one. */
  readonly onReported: (failure: unknown) => void;
  readonly version: string;
  readonly clock: Clock;
  readonly random?: Random;
  readonly log: Log;
  readonly runs: Runs;
  /** What shuts this machine down. */
  readonly powerOff: readonly [string, ...string[]];
  /**
   * Stops everything that writes, before the machine is shut down. Undefined: nobody here can, so nothing is said of what
   * was written after the last bookmark, and whoever ordered it has to ask a person.
   */
  readonly stopWriters?: (() => Promise<StoppedWriters>) | undefined;
}

const assignmentBytesMax = 64 << 10;
const powerOffMilliseconds = 30_000;
/** Between two tries to say good-bye. */
const goodByeRetryMilliseconds = 1_000;
/** Disks come and go seldom, and looking at all of them costs a protected machine time and memory. */
const inventoryMilliseconds = 60_000;

export const siteFolder = (state: string): string => join(state, 'site');
export const siteAssignmentPath = (folder: string): string => join(folder, 'assignment.json');
export const removedPath = (folder: string): string => join(folder, 'removed.json');

/** Until stopped. Nothing, where the machine is not enrolled. */
export async function runSite(parts: SiteParts, signal: AbortSignal): Promise<void> {
  const { folder, clock, log, runs } = parts;
  const agent = await readAgent(systemFiles, folder);
  if (!agent) return;
  let said: { readonly at: number; readonly machine: MachineInventory } | undefined;
  let farewell: Farewell | undefined;
  const link: AgentLink = new AgentLink({
    folder,
    agent,
    files: systemFiles,
    clock,
    random: parts.random ?? systemRandom,
    log,
    report: async () => {
      if (said === undefined || clock.monotonic() - said.at >= inventoryMilliseconds)
        said = {
          at: clock.monotonic(),
          machine: await inventory(agent.agentId, parts.version, clock.now()),
        };
      return { role: 'mobility-service', machine: said.machine, ...(farewell ? { farewell } : {}) };
    },
    identity: parts.identity,
    onReported: parts.onReported,
    apply: (wanted) => apply(parts, link, wanted),
    command: async (command, stop) => {
      if (command.command === 'take-bookmark') await runs.takeBookmark(command.type, stop);
      else await shutDown(command.commandId, stop);
    },
  });
  const shutDown = async (commandId: string, stop: AbortSignal): Promise<void> => {
    const [program, ...args] = parts.powerOff;
    log.warn('shutting-down', { commandId });
    const stopped = await parts.stopWriters?.();
    try {
      if (stopped) {
        const { bookmarkId } = await lastBookmark(parts, stop);
        farewell = { bookmarkId, saidAt: new Date(clock.now()).toISOString() };
        // It must have arrived before the network goes.
        await until(
          clock,
          goodByeMilliseconds,
          async () => {
            stop.throwIfAborted();
            return link.reportNow(stop).then(
              () => true,
              (error: unknown) => {
                log.warn('good-bye-not-said', { error });
                return undefined;
              },
            );
          },
          () => errors.LastBookmarkNotSent('the configuration server does not answer'),
          goodByeRetryMilliseconds,
        );
        log.warn('last-bookmark', { commandId, bookmarkId });
      }
      await run(program, args, { timeoutMilliseconds: powerOffMilliseconds });
    } catch (error) {
      // It stays up: what was said is taken back, and its services run again.
      farewell = undefined;
      link.hurry();
      await stopped?.undo();
      throw error;
    }
  };
  log.info('enrolled', { agentId: agent.agentId, urls: agent.urls });
  await link.run(signal);
}

/** Placed when nothing else runs that writes, and durable at the process server. */
async function lastBookmark({ clock, runs }: SiteParts, stop: AbortSignal): Promise<Bookmark> {
  const limit = new AbortController();
  try {
    return await withDeadline(
      clock,
      lastBookmarkMilliseconds,
      runs.takeBookmark('CrashConsistent', AbortSignal.any([stop, limit.signal])),
      () => errors.LastBookmarkNotSent(`it took more than ${lastBookmarkMilliseconds / 1000} s`),
    );
  } catch (error) {
    if (error instanceof LeewardError && error.code !== 'LastBookmarkNotSent')
      throw errors.LastBookmarkNotSent(error.summary);
    throw error;
  } finally {
    limit.abort(errors.Stopping());
  }
}

/** What it replicates by its site's order; undefined: nothing. */
export async function siteAssignment(folder: string): Promise<MobilityAssignment | undefined> {
  const path = siteAssignmentPath(folder);
  const bytes = await readWhole(systemFiles, path, assignmentBytesMax);
  return bytes && parseJson(MobilityAssignment, bytes.toString(), path);
}

/** The operator's scripts of application-consistent points: this machine's own business, so no site says anything of them. */
export async function ownScripts(settings: string): Promise<MobilityAssignment['scripts']> {
  const path = join(settings, 'scripts.json');
  const bytes = await readWhole(systemFiles, path, assignmentBytesMax);
  // One that is not valid is told, and nothing is replicated meanwhile: points without the scripts would not be what they
  // say they are.
  return bytes && parseJson(Scripts, bytes.toString(), path);
}
const Scripts = MobilityAssignment.shape.scripts.unwrap();

async function apply(
  { folder, runs }: SiteParts,
  link: AgentLink,
  wanted: WantedAnswer['wanted'],
): Promise<void> {
  if (wanted.role !== 'mobility-service') throw errors.WrongAssignment(wanted.role);
  const before = await siteAssignment(folder);
  const { item } = wanted;
  if (before && before.itemId !== item?.itemId) {
    await systemFiles.rename(siteAssignmentPath(folder), removedPath(folder));
    await systemFiles.syncDirectory(folder);
    await runs.reload();
  }
  if (!item) return runs.settled();
  const assignment = await assignmentOf(folder, link, item);
  if (before && JSON.stringify(before) === JSON.stringify(assignment)) return runs.settled();
  await writeDurably(
    systemFiles,
    siteAssignmentPath(folder),
    Buffer.from(`${JSON.stringify(assignment, null, 2)}\n`),
  );
  await runs.reload();
}

async function assignmentOf(
  folder: string,
  link: AgentLink,
  item: NonNullable<MachineWanted['item']>,
): Promise<MobilityAssignment> {
  const { caFile, certificateFile, keyFile } = await link.itemCertificate(
    join(folder, 'items', item.itemId),
    item.itemId,
  );
  return MobilityAssignment.parse({
    itemId: item.itemId,
    name: item.name,
    processServer: item.processServer,
    tls: { caFile, certificateFile, keyFile },
    disks: item.disks,
    policy: { ...item.policy, freezeMillisecondsMax: 1000 },
  });
}

/** What has to be taken away, if anything. */
export async function removedAssignment(folder: string): Promise<MobilityAssignment | undefined> {
  const path = removedPath(folder);
  const bytes = await readWhole(systemFiles, path, assignmentBytesMax);
  return bytes && parseJson(MobilityAssignment, bytes.toString(), path);
}

/** After everything else of it is gone. */
export async function forgetRemoved(folder: string, itemId: string): Promise<void> {
  await systemFiles.removeTree(join(folder, 'items', itemId));
  await systemFiles.remove(removedPath(folder));
  await systemFiles.syncDirectory(folder);
}
