/**
 * A process server in this process with links in memory and a real folder for spool and cache: what its tests stand on.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type Clock, systemClock, until } from '../../src/platform/clock.ts';
import { type Files, systemFiles } from '../../src/platform/files.ts';
import { silentLog } from '../../src/platform/log.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { type ProcessServerLimits, standardLimits } from '../../src/process-server/limits.ts';
import { ProcessServer } from '../../src/process-server/server.ts';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { FolderStore } from '../../src/protocol/cache/folder-store.ts';
import { inlineSealer } from '../../src/protocol/cache/segment.ts';
import { memoryLinkPair } from './memory-link.ts';
import type { ScriptedSender } from './scripted-sender.ts';

export const MiB = 1 << 20;

export interface StartParts {
  readonly files?: Files;
  readonly clock?: Clock;
  readonly store?: CacheStore;
  readonly serverBytes?: number;
  readonly limits?: Partial<ProcessServerLimits>;
}

export interface ProcessServerWorld {
  readonly folder: string;
  readonly store: FolderStore;
  start(parts?: StartParts): ProcessServer;
  assign(server: ProcessServer, sender: ScriptedSender, uploadBytesPerSecondMax?: number): Promise<void>;
  connect(server: ProcessServer, sender: ScriptedSender, generation?: number): Promise<void>;
}

export async function world(t: ExecutionContext<unknown>): Promise<ProcessServerWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-ps-'));
  const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: join(folder, 'cache') });
  await store.prepare();
  const servers: ProcessServer[] = [];
  t.teardown(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    store,
    start: (parts = {}) => {
      const server = new ProcessServer({
        files: parts.files ?? systemFiles,
        clock: parts.clock ?? systemClock,
        random: systemRandom,
        log: silentLog,
        store: parts.store ?? store,
        sealer: inlineSealer,
        spoolFolder: join(folder, 'spool'),
        metrics: new Metrics(),
        limits: {
          ...standardLimits,
          partBytesMax: 2 * MiB,
          partMillisecondsMax: 100,
          batchBytesMax: MiB / 2,
          windowBytes: 2 * MiB,
          fullDiskMilliseconds: 20,
          digestPollMilliseconds: 20,
          requestPollMilliseconds: 20,
          ...parts.limits,
        },
        quota: { serverBytes: parts.serverBytes ?? 1 << 30, itemBytes: 1 << 30 },
      });
      servers.push(server);
      return server;
    },
    assign: (server, sender, uploadBytesPerSecondMax) =>
      server.assign(
        {
          itemId: sender.itemId,
          name: 'machine',
          itemKeyFile: '/unused',
          disks: sender.diskIds.map((diskId) => ({ diskId })),
          ...(uploadBytesPerSecondMax === undefined ? {} : { uploadBytesPerSecondMax }),
        },
        sender.itemKey,
      ),
    connect: async (server, sender, generation) => {
      const pair = memoryLinkPair({ senderName: sender.itemId, receiverName: 'process-server/test' });
      void server.serve(pair.receiver);
      await sender.connect(pair.sender, generation);
    },
  };
}

export async function drained(server: ProcessServer, sender: ScriptedSender): Promise<void> {
  await until(
    systemClock,
    60_000,
    () => server.item(sender.itemId)?.isDrained || undefined,
    () => new Error(`not drained: ${JSON.stringify(server.status)}`),
  );
}

export function bound(store: CacheStore): CacheStore {
  return {
    put: store.put.bind(store),
    get: store.get.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
  };
}
