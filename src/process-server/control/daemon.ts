/**
 * The process server as a daemon: the TLS listener, the folder of assignments, status and metrics. Leaf adapter: sockets and
 * `fs.watch` are its devices.
 */
import { watch } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'node:tls';
import { type Clock, pause, systemClock } from '../../platform/clock.ts';
import { readWhole, systemFiles } from '../../platform/files.ts';
import { holdFolder } from '../../platform/hold-folder.ts';
import { createLog } from '../../platform/log.ts';
import { Metrics } from '../../platform/metrics.ts';
import { systemRandom } from '../../platform/random.ts';
import { parseJson } from '../../platform/settings.ts';
import { tlsOptions } from '../../platform/tls.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { itemKeyBytes } from '../../protocol/cache/keys.ts';
import { ProcessServerAssignment } from '../../protocol/control/assignment.ts';
import type { ProcessServerSettings } from '../../protocol/control/process-server-settings.ts';
import { acceptLink } from '../../protocol/replication/tls-link.ts';
import { processServerErrors } from '../errors.ts';
import { standardLimits } from '../limits.ts';
import { CodecPool } from '../refine/codec-pool.ts';
import { ProcessServer } from '../server.ts';

/** Handshakes under way and machines connected: 1,000 machines, and as many again that reconnect at once. */
const connectionsMax = 2_000;
/** A handshake takes 2 round trips; whoever needs longer is not one of ours. */
const handshakeMilliseconds = 15_000;
/** fs.watch reports a file several times while it is written; and on some file systems not at all. */
const settleMilliseconds = 200;
const rereadMilliseconds = 60_000;

export interface Daemon extends AsyncDisposable {
  readonly port: number;
  readonly statusPort: number;
  readonly server: ProcessServer;
  reread(): Promise<void>;
}

export async function startDaemon(
  settings: ProcessServerSettings,
  store: CacheStore,
  clock: Clock = systemClock,
): Promise<Daemon> {
  const log = createLog('process-server', settings.logLevel);
  // Taken apart in the opposite order, also when it does not come to an end: what goes on would keep the process alive.
  await using stack = new AsyncDisposableStack();
  await systemFiles.makeFolder(settings.spool.folder);
  stack.use(await holdFolder(settings.spool.folder));
  const sealer = stack.use(new CodecPool(settings.codecWorkers));
  const server = new ProcessServer({
    files: systemFiles,
    clock,
    random: systemRandom,
    log,
    store,
    sealer,
    spoolFolder: settings.spool.folder,
    metrics: new Metrics(),
    limits: { ...standardLimits, partMillisecondsMax: settings.partSeconds * 1000 },
    quota: {
      serverBytes: settings.spool.quotaBytes,
      itemBytes: settings.spool.itemQuotaBytes ?? settings.spool.quotaBytes,
    },
  });
  stack.use(server);

  const reread = async () => {
    const names = (await systemFiles.list(settings.itemsFolder)).filter((name) => name.endsWith('.json'));
    const found = new Set<string>();
    for (const name of names)
      try {
        const path = `${settings.itemsFolder}/${name}`;
        const text = await readWhole(systemFiles, path);
        if (text === undefined) continue;
        const assignment = parseJson(ProcessServerAssignment, text.toString(), path);
        found.add(assignment.itemId);
        const key = await readWhole(systemFiles, assignment.itemKeyFile, 1024);
        if (key?.byteLength !== itemKeyBytes)
          throw processServerErrors.ItemHalted(assignment.itemId, 'its key file does not have 32 bytes');
        await server.assign(assignment, key);
      } catch (error) {
        // One bad file must not stop the other machines. An item that runs goes on with what it had.
        found.add(name.slice(0, -'.json'.length));
        log.error('assignment-unusable', { name, error });
      }
    for (const itemId of server.itemIds) if (!found.has(itemId)) await server.release(itemId);
  };
  /** One at a time, in order. */
  let turn: Promise<void> = Promise.resolve();
  const rereadInTurn = () => {
    turn = turn.then(reread).catch((error: unknown) => log.error('reread-failed', { error }));
    return turn;
  };
  stack.defer(() => turn);

  const stop = new AbortController();
  await systemFiles.makeFolder(settings.itemsFolder);
  // Before the first reading: what comes after it is noticed, and what came before is read.
  // One reading for all that changes meanwhile: a thousand assignments may be copied here at once.
  let isAwaited = false;
  const watcher = watch(settings.itemsFolder, () => {
    if (isAwaited) return;
    isAwaited = true;
    void pause(clock, settleMilliseconds, stop.signal).then(() => {
      isAwaited = false;
      return stop.signal.aborted ? undefined : rereadInTurn();
    });
  });
  watcher.on('error', (error) => log.warn('watch-failed', { error }));
  stack.defer(() => {
    stop.abort();
    watcher.close();
  });
  await rereadInTurn();

  const listener = createServer(
    { ...(await tlsOptions(settings.tls)), handshakeTimeout: handshakeMilliseconds },
    (socket) => void server.serve(acceptLink(socket, clock)),
  );
  listener.maxConnections = connectionsMax;
  listener.on('tlsClientError', (error, socket) => {
    log.warn('handshake-refused', { peer: socket.remoteAddress, reason: error.message });
  });
  const status = createHttpServer((request, response) => {
    if (request.url === '/status') response.end(JSON.stringify(server.status));
    else if (request.url === '/metrics') response.end(server.renderMetrics());
    else response.writeHead(404).end();
  });
  stack.defer(() => {
    listener.close();
    status.close();
    status.closeAllConnections();
  });
  const port = await listen(listener, settings.listen.port, settings.listen.host);
  const statusPort = await listen(status, settings.statusPort, '127.0.0.1');

  const rereading = (async () => {
    while (!stop.signal.aborted) {
      await pause(clock, rereadMilliseconds, stop.signal);
      if (!stop.signal.aborted) await rereadInTurn();
    }
  })();
  log.info('listening', { port, statusPort, items: server.itemIds.length });

  const parts = stack.move();
  return {
    port,
    statusPort,
    server,
    reread: rereadInTurn,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await rereading;
      await parts.disposeAsync();
      log.info('stopped');
    },
  };
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}
