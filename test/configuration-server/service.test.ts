/**
 * Goal: a configuration server does each order exactly once, whatever is killed or cut; tells its vault of every machine; and
 * lets in only whom it enrolled. Real processes, real TLS, real MariaDB; the effect of an order is a line in a ledger.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { z } from 'zod';
import { Identity } from '../../src/configuration-server/registration/identity.ts';
import { startConfigurationServer } from '../../src/configuration-server/service.ts';
import { ConfigurationServerSettings } from '../../src/configuration-server/settings.ts';
import * as agents from '../../src/configuration-server/store/agents.ts';
import { migrate } from '../../src/configuration-server/store/migrate.ts';
import {
  certificateEnds,
  keepCertificate,
  makeRequest,
  signRequest,
} from '../../src/platform/certificate-request.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { JsonClient } from '../../src/platform/https-json.ts';
import { silentLog } from '../../src/platform/log.ts';
import { openDatabase } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { type Authority, issueAuthority, issueCertificate } from '../../src/platform/tls.ts';
import { AgentLink, enrolAgent, readEnrolmentKey } from '../../src/protocol/control/agent-client.ts';
import {
  type AgentReport,
  agentLinkPaths,
  type EnrolmentKey,
} from '../../src/protocol/control/agent-link.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { type CuttableLink, cuttableLink } from '../support/cuttable-link.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../support/private-mariadb.ts';
import { Daemon, eventually, freePort } from '../support/site.ts';
import { clientOf, type SiteLinkVault, startSiteLinkVault, vaultId } from '../support/site-link-vault.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
const timeoutMilliseconds = 40_000;
let mariadb: PrivateMariadb;
let vault: SiteLinkVault;
let wire: CuttableLink;

anyTest.before(async () => {
  if (!(await hasMariadb())) return;
  mariadb = await startPrivateMariadb();
  let port = 0;
  wire = await cuttableLink(() => port);
  vault = await startSiteLinkVault((await mariadb.database()).database, { publicPort: () => wire.port });
  port = vault.port;
});
anyTest.after.always(async () => {
  await vault?.[Symbol.asyncDispose]();
  await wire?.[Symbol.asyncDispose]();
  await mariadb?.dispose();
});

interface Place {
  readonly folder: string;
  readonly settings: ConfigurationServerSettings;
  readonly settingsPath: string;
  readonly identity: Identity;
}

async function makePlace(t: ExecutionContext<unknown>, port = 0): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-cs-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const { name } = await mariadb.database();
  const settings = ConfigurationServerSettings.parse({
    dataFolder: join(folder, 'data'),
    listen: { host: '127.0.0.1', port },
    hosts: ['127.0.0.1'],
    database: { type: 'server', socketPath: mariadb.socketPath, user: 'root', database: name },
    scriptsFolder: join(folder, 'scripts'),
  });
  const settingsPath = join(folder, 'settings.json');
  await writeFile(settingsPath, JSON.stringify(settings));
  await mkdir(settings.scriptsFolder);
  const identity = new Identity({
    dataFolder: settings.dataFolder,
    files: systemFiles,
    clock: systemClock,
    random: systemRandom,
  });
  return { folder, settings, settingsPath, identity };
}

const surroundings = { clock: systemClock, random: systemRandom, files: systemFiles, log: silentLog };

test('each order is done and answered once while the server is killed and the link is cut', async (t) => {
  t.timeout(600_000);
  const place = await makePlace(t);
  const ledger = join(place.folder, 'ledger');
  const script = join(place.settings.scriptsFolder, 'note');
  await writeFile(script, `#!/bin/sh\necho "$1" >> ${ledger}\nsleep 0.$2\necho "noted $1"\n`);
  await chmod(script, 0o700);
  const { siteId } = await place.identity.register(await vault.issueKey('killed'), 'appliance');
  const server = new Daemon('configuration-server', place.folder, [
    'src/bin/configuration-server.ts',
    'run',
    '--settings',
    place.settingsPath,
  ]);
  t.teardown(async () => {
    if (!t.passed) t.log(server.tail(40));
    await server.kill();
  });
  server.start();
  await eventually('it reports', 60, async () => (await sites.byId(vault.database, siteId))?.lastReportAt);
  const orderIds: string[] = [];
  const place1 = async () => {
    const orderId = systemRandom.uuid();
    orderIds.push(orderId);
    await vault.orders.place({
      orderId,
      siteId,
      content: {
        order: 'run-script',
        name: 'note',
        arguments: [orderId, String(Math.floor(systemRandom.fraction() * 5))],
        timeoutSeconds: 30,
      },
      expiresAt: new Date(systemClock.now() + 500_000).toISOString(),
    });
  };
  const answered = async () => {
    const found = await Promise.all(orderIds.map((orderId) => vault.orders.answer(orderId)));
    return found.filter((answer) => answer !== undefined).length;
  };
  for (let round = 0; round < 8; round++) {
    const before = await answered();
    for (let n = 0; n < 3; n++) await place1();
    // The moment is another one each time: before the orders arrive, while they are worked on, while answers travel.
    await systemClock.sleep(systemRandom.fraction() * 700);
    if (round % 4 === 0) wire.loseNextAnswer(Math.floor(systemRandom.fraction() * 4000));
    if (round % 4 === 1) wire.cut();
    if (round % 4 !== 0) await server.kill();
    if (round % 4 === 1) wire.mend();
    if (!server.isRunning) server.start();
    await eventually('something is answered', 60, async () =>
      (await answered()) > before ? true : undefined,
    );
  }
  await eventually('all orders are answered', 90, async () =>
    (await answered()) === orderIds.length ? true : undefined,
  );
  for (const orderId of orderIds)
    t.deepEqual((await vault.orders.answer(orderId))?.outcome, {
      state: 'done',
      output: `noted ${orderId}\n`,
    });
  const lines = (await readFile(ledger, 'utf8')).trim().split('\n');
  t.deepEqual(lines.sort(), [...orderIds].sort(), 'the ledger has each order once');
  t.is(new Set(vault.answered.filter((id) => orderIds.includes(id))).size, orderIds.length);
});

test('registration that breaks off goes on with the same key as the same site', async (t) => {
  const place = await makePlace(t);
  const key = await vault.issueKey('broken-off');
  // The vault registers it and nobody hears: some bytes of the handshake come through, the answer does not.
  for (const bytes of [0, 600, 1500, 2200]) {
    wire.loseNextAnswer(bytes);
    await place.identity.register(key, 'appliance').catch((error: unknown) => {
      t.like(error, { code: 'PeerUnreachable' });
    });
    if (await place.identity.registered()) break;
  }
  const registered = (await place.identity.registered()) ?? (await place.identity.register(key, 'appliance'));
  t.is(registered.fabricName, 'broken-off');
  t.is(
    (await sites.list(vault.database, vaultId.toLowerCase())).filter(
      (site) => site.fabricName === 'broken-off',
    ).length,
    1,
  );
  t.like(await t.throwsAsync(place.identity.register(await vault.issueKey(), 'appliance')), {
    code: 'AlreadyRegistered',
  });
  const stranger = await makePlace(t);
  t.like(await t.throwsAsync(stranger.identity.register(key, 'appliance')), { code: 'RegistrationKeyUsed' });
});

test('a site of 2,300 machines is reported whole, in pages, and what is removed is gone', async (t) => {
  t.timeout(300_000);
  const place = await makePlace(t);
  const { siteId } = await place.identity.register(await vault.issueKey('large'), 'appliance');
  const { database: name } = place.settings.database as { database: string };
  await using database = openDatabase({ socketPath: mariadb.socketPath, user: 'root', database: name });
  await migrate(database);
  const now = new Date(systemClock.now()).toISOString();
  await database.transaction(async (session) => {
    for (let index = 0; index < 2300; index++) {
      const said = saidBy(systemRandom.uuid(), `machine-${String(index).padStart(4, '0')}`);
      const { machineId: agentId, name } = said.machine;
      await agents.enrol(session, { agentId, role: 'mobility-service', name }, now);
      await session.change('UPDATE agents SET said = ?, heartbeat_at = ? WHERE agent_id = ?', [
        JSON.stringify(said),
        new Date(now),
        agentId,
      ]);
    }
  });
  const count = async () => {
    const [row] = await vault.database.rows('SELECT COUNT(*) AS n FROM site_machines WHERE site_id = ?', [
      siteId,
    ]);
    return Number(row!.n);
  };
  // It reports as soon as it runs.
  const reports = async (wanted: number) => {
    await using _server = await startConfigurationServer(place.settings, surroundings);
    await eventually(`${wanted} machines are known`, 60, async () =>
      (await count()) === wanted ? true : undefined,
    );
  };
  await reports(2300);
  await database.change("DELETE FROM agents WHERE name >= 'machine-1500'");
  await reports(1500);
  t.pass();
});

function saidBy(agentId: string, name: string): Extract<AgentReport, { role: 'mobility-service' }> {
  return {
    role: 'mobility-service',
    machine: {
      machineId: agentId as never,
      name,
      addresses: ['192.0.2.1'],
      osName: 'Debian GNU/Linux 12 (bookworm)',
      kernel: '6.1.0-40-amd64',
      firmware: 'efi',
      cpuCount: 4,
      memoryBytes: 8 * 2 ** 30,
      version: '0.1.0',
      disks: [
        { path: '/dev/sda', name: 'sda', sizeBytes: 2 ** 36, readinessErrors: [], uses: ['/', '/boot'] },
      ],
    },
  };
}

test('only whom it enrolled is let in, and for its own things only', async (t) => {
  const place = await makePlace(t);
  await using server = await startConfigurationServer(place.settings, surroundings);
  const key: EnrolmentKey = readEnrolmentKey(
    await readFile(join(place.settings.dataFolder, 'enrolment.json'), 'utf8'),
    'enrolment.json',
  );
  t.deepEqual(key.urls, [`https://127.0.0.1:${server.port}`]);
  const enrol = (
    name: string,
    role: 'mobility-service' | 'process-server',
    changed: Partial<EnrolmentKey> = {},
  ) =>
    enrolAgent(
      { folder: join(place.folder, name), role, name, key: { ...key, ...changed }, hosts: ['127.0.0.1'] },
      surroundings,
    );
  const wrong = systemRandom.bytes(32).toString('base64url');
  t.like(await t.throwsAsync(enrol('a', 'mobility-service', { secret: wrong })), {
    code: 'EnrolmentRefused',
  });
  const otherAuthority = await issueAuthority(join(place.folder, 'other'));
  const caPem = await readFile(otherAuthority.caFile, 'utf8');
  t.like(await t.throwsAsync(enrol('b', 'mobility-service', { caPem })), { code: 'PeerNotTrusted' });
  const machine = await enrol('machine', 'mobility-service');
  t.is(
    (await enrol('machine', 'mobility-service')).agentId,
    machine.agentId,
    'enrolled again, it is the same',
  );
  t.like(await t.throwsAsync(enrol('machine', 'process-server')), { code: 'WrongRole' });
  // The next address is tried when the first one does not answer.
  const dead = `https://127.0.0.1:${await freePort()}`;
  await t.notThrowsAsync(enrol('c', 'mobility-service', { urls: [dead, ...key.urls] }));

  const url = key.urls[0]!;
  using own = await clientOf(url, join(place.folder, 'machine', 'tls'));
  const call = (client: JsonClient, method: 'GET' | 'POST', path: string, body?: unknown) =>
    client.call({ method, path, body, answer: z.unknown(), timeoutMilliseconds });
  const wanted = (client: JsonClient) => call(client, 'GET', agentLinkPaths.wanted);
  t.like((await wanted(own)) as object, { wanted: { role: 'mobility-service', item: null } });
  const requestPem = await makeRequest(join(place.folder, 'item'));
  const itemId = systemRandom.uuid();
  t.like(await t.throwsAsync(call(own, 'POST', agentLinkPaths.certificate, { requestPem, itemId })), {
    code: 'WrongRole',
  });
  t.like(await t.throwsAsync(call(own, 'POST', agentLinkPaths.cacheCertificate, { requestPem })), {
    code: 'WrongRole',
  });
  await enrol('ps', 'process-server');
  using processServer = await clientOf(url, join(place.folder, 'ps', 'tls'));
  t.like(await t.throwsAsync(call(processServer, 'POST', agentLinkPaths.cacheCertificate, { requestPem })), {
    code: 'SiteNotRegistered',
  });
  // As an installation does it: at once after the registration, before the server has looked for one again.
  await place.identity.register(await vault.issueKey('just-registered'), 'appliance');
  const asked = await makeRequest(join(place.folder, 'cache-tls'));
  await t.notThrowsAsync(
    call(processServer, 'POST', agentLinkPaths.cacheCertificate, { requestPem: asked }),
    'a site that is registered gets the certificate',
  );

  using nobody = new JsonClient({ url, ca: key.caPem, clock: systemClock, answerBytesMax: 1 << 20 });
  t.like(await t.throwsAsync(wanted(nobody)), { code: 'AgentCertificateMissing' });
  const forged = join(place.folder, 'forged');
  await issueCertificate({
    folder: forged,
    authority: otherAuthority,
    commonName: `machine/${machine.agentId}`,
    hosts: [],
    days: 1,
    usage: 'client',
  });
  await writeFile(join(forged, 'ca.pem'), key.caPem);
  using foreign = await clientOf(url, forged);
  t.like(await t.throwsAsync(wanted(foreign)), { code: 'AgentCertificateMissing' });
  const unknown = join(place.folder, 'unknown');
  await issueCertificate({
    folder: unknown,
    authority: await place.identity.authority(),
    commonName: `machine/${systemRandom.uuid()}`,
    hosts: [],
    days: 1,
    usage: 'client',
  });
  using stranger = await clientOf(url, unknown);
  t.like(await t.throwsAsync(wanted(stranger)), { code: 'AgentUnknown' });
});

test('certificates in their last third are renewed, with new keys, and go on opening doors', async (t) => {
  const place = await makePlace(t);
  const { siteId } = await place.identity.register(await vault.issueKey('renewed'), 'appliance');
  const folder = place.identity.at('vault-tls');
  const short = async (at: string, authority: Authority, commonName: string) => {
    const certificatePem = await signRequest({
      authority,
      requestPem: await makeRequest(at),
      commonName,
      hosts: [],
      days: 10,
      usage: 'client',
    });
    await keepCertificate(at, certificatePem, await readFile(authority.caFile, 'utf8'));
    return readFile(join(at, 'key.pem'), 'utf8');
  };
  const before = await short(folder, vault.authority, `site/${siteId}`);
  await using server = await startConfigurationServer(place.settings, surroundings);
  const isLong = async (at: string) => {
    const ends = await certificateEnds(at);
    return ends !== undefined && ends - systemClock.now() > 60 * 86_400_000 ? true : undefined;
  };
  await eventually('the site’s certificate is renewed', 60, () => isLong(folder));
  t.not(await readFile(join(folder, 'key.pem'), 'utf8'), before);

  const key = readEnrolmentKey(
    await readFile(join(place.settings.dataFolder, 'enrolment.json'), 'utf8'),
    'enrolment.json',
  );
  const own = join(place.folder, 'machine');
  const agent = await enrolAgent(
    { folder: own, role: 'mobility-service', name: 'machine', key, hosts: [] },
    surroundings,
  );
  await short(join(own, 'tls'), await place.identity.authority(), `machine/${agent.agentId}`);
  const stop = new AbortController();
  let applied = 0;
  const link = new AgentLink({
    ...surroundings,
    folder: own,
    agent,
    report: async () => saidBy(agent.agentId, 'machine'),
    apply: async () => {
      applied += 1;
    },
    command: async () => {},
  });
  const running = link.run(stop.signal);
  await eventually('the agent’s certificate is renewed', 60, () => isLong(join(own, 'tls')));
  const known = await eventually('the vault knows the machine', 60, async () =>
    (await sites.listMachines(vault.database, siteId, { limit: 5 })).at(0),
  );
  t.is(known.machineId, agent.agentId as never);
  // Its report and what it takes go their own ways, and the renewal breaks off whichever is under way.
  await eventually('it takes what is wanted', 60, () => (applied > 0 ? true : undefined));
  stop.abort();
  await running;
  t.true(server.port > 0);
});

test('a certificate is renewed by order, and the site goes on with the new one', async (t) => {
  const place = await makePlace(t);
  const { siteId } = await place.identity.register(await vault.issueKey('ordered'), 'appliance');
  const folder = place.identity.at('vault-tls');
  await using server = await startConfigurationServer(place.settings, surroundings);
  await eventually('it reports', 60, async () => (await sites.byId(vault.database, siteId))?.lastReportAt);
  const keyBefore = await readFile(join(folder, 'key.pem'), 'utf8');
  const renewed = async () => {
    const orderId = systemRandom.uuid();
    await vault.orders.place({
      orderId,
      siteId,
      content: { order: 'renew-certificate' },
      expiresAt: new Date(systemClock.now() + 300_000).toISOString(),
    });
    return (await eventually('it is renewed', 60, () => vault.orders.answer(orderId))).outcome;
  };
  t.deepEqual(await renewed(), {
    state: 'done',
    output: new Date((await certificateEnds(folder))!).toISOString(),
  });
  const keyAfter = await readFile(join(folder, 'key.pem'), 'utf8');
  t.not(keyAfter, keyBefore);
  // The second order came, and its answer went, with the new certificate.
  t.is((await renewed()).state, 'done');
  t.not(await readFile(join(folder, 'key.pem'), 'utf8'), keyAfter);
  t.true(server.port > 0);
});

test('a second configuration server over the same folder is refused, and the first goes on', async (t) => {
  const place = await makePlace(t);
  await using server = await startConfigurationServer(place.settings, surroundings);
  await t.throwsAsync(startConfigurationServer(place.settings, surroundings), { code: 'FolderHeld' });
  t.true(server.port > 0);
});
