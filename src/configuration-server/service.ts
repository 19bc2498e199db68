/**
 * The configuration server as one process: database, agents' listener, orders, link to the vault; put together from its
 * settings and taken apart in the opposite order.
 *
 *     vault ◀── reports, answers ── vault-link ◀─┐                ┌─▶ agents' requests
 *           ──▶ orders ───────────▶ database ──▶ assignments ──▶ what is wanted of each agent
 */
import { hostname } from 'node:os';
import { Bell } from '../platform/bell.ts';
import { type Clock, pause } from '../platform/clock.ts';
import { type Files, readWhole } from '../platform/files.ts';
import { holdFolder } from '../platform/hold-folder.ts';
import { serveJson } from '../platform/https-json.ts';
import type { Log } from '../platform/log.ts';
import { openDatabase } from '../platform/mysql.ts';
import { startDatabaseServer } from '../platform/mysql-server.ts';
import type { Random } from '../platform/random.ts';
import { tlsOptions } from '../platform/tls.ts';
import { agentRoutes } from './agents/routes.ts';
import { OrderWork } from './assignments/order-work.ts';
import { Identity } from './registration/identity.ts';
import { ScriptRuns } from './scripts/runs.ts';
import type { ConfigurationServerSettings } from './settings.ts';
import { migrate } from './store/migrate.ts';
import { siteReport } from './vault-link/report.ts';
import { VaultLink } from './vault-link/vault-link.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Log;
}

export interface RunningConfigurationServer extends AsyncDisposable {
  readonly port: number;
  /** Rejects when a part that it cannot live without has ended. */
  readonly failed: Promise<never>;
}

const renewLookMilliseconds = 3_600_000;

export async function startConfigurationServer(
  settings: ConfigurationServerSettings,
  { clock, random, files, log }: Surroundings,
): Promise<RunningConfigurationServer> {
  await using stack = new AsyncDisposableStack();
  await files.makeFolder(settings.dataFolder);
  stack.use(await holdFolder(settings.dataFolder));
  const identity = new Identity({ dataFolder: settings.dataFolder, files, clock, random });
  const server =
    settings.database.type === 'embedded'
      ? stack.use(
          await startDatabaseServer({ folder: identity.at('database'), database: 'leeward_site', clock }),
        )
      : undefined;
  const database = stack.use(
    openDatabase(
      settings.database.type === 'embedded'
        ? { socketPath: server!.socketPath, user: server!.user, database: 'leeward_site' }
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
  const bells = {
    wantedBell: new Bell(),
    workBell: new Bell(),
    answerBell: new Bell(),
    reportBell: new Bell(),
  };
  const masterKey = await identity.masterKey();
  const work = new OrderWork({
    database,
    clock,
    random,
    log,
    masterKey,
    boxSecretKey: (await identity.boxKeys()).secretKey,
    scripts: new ScriptRuns({
      scriptsFolder: settings.scriptsFolder,
      runsFolder: identity.at('script-runs'),
      clock,
    }),
    renewCertificate: () => vaultLink.renewCertificate(),
    ...bells,
  });
  const vaultLink: VaultLink = new VaultLink({
    identity,
    database,
    clock,
    random,
    log,
    report: (health) => siteReport({ database, clock, hostName: hostname() }, health),
    ...bells,
  });
  const listener = stack.use(
    await serveJson(
      agentRoutes({
        database,
        clock,
        random,
        log,
        authority: await identity.authority(),
        masterKey,
        enrolmentSecret: (await identity.enrolmentKey(settings.hosts, settings.listen.port)).secret,
        work,
        vaultLink,
        ...bells,
      }),
      {
        tls: await tlsOptions(await identity.serverCertificate(settings.hosts)),
        host: settings.listen.host,
        port: settings.listen.port,
      },
    ),
  );
  // With the port that it really listens on.
  await identity.enrolmentKey(settings.hosts, listener.port);

  const stopping = new AbortController();
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const renewing = async () => {
    while (!stopping.signal.aborted) {
      await pause(clock, renewLookMilliseconds, stopping.signal);
      if (!stopping.signal.aborted)
        listener.renew(await tlsOptions(await identity.serverCertificate(settings.hosts)));
    }
  };
  const running = Promise.all([work.run(stopping.signal), vaultLink.run(stopping.signal), renewing()]);
  running.catch(fail);
  if (server)
    void server.ended.then(() => {
      if (!stopping.signal.aborted) fail(new Error('the database server has ended'));
    });
  stack.defer(async () => {
    stopping.abort();
    await running.catch(() => {});
  });
  log.info('configuration-server-ready', { port: listener.port });
  const parts = stack.move();
  return { port: listener.port, failed, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
