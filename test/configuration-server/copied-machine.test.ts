/**
 * Goal: whoever carries the identity of another machine is refused everything at its site, by name; the original is not
 * disturbed; the vault hears of the copy; and by one command the copy is a machine of its own, or takes the other's place.
 * Method: a real configuration server with a real database and TLS; machines are state folders, copied as a disk would be, and
 * files that say what hardware they run on. The server's clock is moved.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { z } from 'zod';
import { Identity } from '../../src/configuration-server/registration/identity.ts';
import { startConfigurationServer } from '../../src/configuration-server/service.ts';
import { ConfigurationServerSettings } from '../../src/configuration-server/settings.ts';
import * as items from '../../src/configuration-server/store/items.ts';
import { enrol } from '../../src/mobility-service/control/enrol.ts';
import { readMachineIdentity } from '../../src/mobility-service/control/machine-identity.ts';
import { lastingIdentity, parseMachineIdentity } from '../../src/model/machine-identity.ts';
import { makeRequest } from '../../src/platform/certificate-request.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { systemFiles } from '../../src/platform/files.ts';
import type { JsonClient } from '../../src/platform/https-json.ts';
import { silentLog } from '../../src/platform/log.ts';
import { openDatabase } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { seal } from '../../src/platform/seal.ts';
import { enrolAgent, readEnrolmentKey } from '../../src/protocol/control/agent-client.ts';
import { agentLinkPaths, ProcessServerWanted } from '../../src/protocol/control/agent-link.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { throwsExplained } from '../support/explained.ts';
import { type MachineFacts, writeMachineFacts } from '../support/machine-facts.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../support/private-mariadb.ts';
import { eventually } from '../support/site.ts';
import { clientOf, type SiteLinkVault, startSiteLinkVault } from '../support/site-link-vault.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
let mariadb: PrivateMariadb;
let vault: SiteLinkVault;
anyTest.before(async () => {
  if (!(await hasMariadb())) return;
  mariadb = await startPrivateMariadb();
  vault = await startSiteLinkVault((await mariadb.database()).database);
});
anyTest.after.always(async () => {
  await vault?.[Symbol.asyncDispose]();
  await mariadb?.dispose();
});

const facts: MachineFacts = {
  product: '4c4c4544-0042-3510-8054-b4c04f564433',
  nics: ['00:50:56:9a:00:01'],
  serials: ['vol-1'],
  systemId: '3f1c0e9d5b7a4f6e8d2c1b0a99887766',
  bootId: '11111111-2222-4333-8444-555555555555',
};
const otherFacts: MachineFacts = {
  ...facts,
  product: '4c4c4544-0042-3510-8054-aaaaaaaaaaaa',
  nics: ['00:50:56:9a:00:02'],
  serials: ['vol-2'],
  bootId: '99999999-2222-4333-8444-555555555555',
};

interface Machine {
  readonly state: string;
  readonly root: string;
  readonly runtime: string;
}

async function world(t: ExecutionContext<unknown>) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-copies-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const { name: databaseName } = await mariadb.database();
  const settings = ConfigurationServerSettings.parse({
    dataFolder: join(folder, 'data'),
    listen: { host: '127.0.0.1', port: 0 },
    hosts: ['127.0.0.1'],
    database: { type: 'server', socketPath: mariadb.socketPath, user: 'root', database: databaseName },
    scriptsFolder: join(folder, 'scripts'),
  });
  const parts = { files: systemFiles, random: systemRandom };
  const identity = new Identity({ ...parts, dataFolder: settings.dataFolder, clock: systemClock });
  const { siteId } = await identity.register(
    await vault.issueKey(`site-${databaseName.slice(-12)}`),
    'appliance',
  );
  // Beyond its grace after a start: machines of before may still live then.
  let aheadMilliseconds = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMilliseconds };
  const server = await startConfigurationServer(settings, { ...parts, clock, log: silentLog });
  t.teardown(() => server[Symbol.asyncDispose]());
  aheadMilliseconds += 31_000;
  const keyFile = join(settings.dataFolder, 'enrolment.json');
  const key = readEnrolmentKey(await readFile(keyFile, 'utf8'), keyFile);
  const machine = async (name: string, of: MachineFacts, copiedFrom?: Machine): Promise<Machine> => {
    const at = join(folder, name);
    const made: Machine = {
      state: join(at, 'state'),
      root: join(at, 'root'),
      runtime: join(at, 'runtime'),
    };
    await writeMachineFacts(made.root, of);
    if (copiedFrom) await cp(copiedFrom.state, made.state, { recursive: true });
    return made;
  };
  const identityOf = (of: Machine) => readMachineIdentity({ ...parts, root: of.root, runtime: of.runtime });
  const call = async (of: Machine, method: 'GET' | 'POST', path: string, body?: unknown) => {
    const { instance } = parseMachineIdentity(await identityOf(of))!;
    using client: JsonClient = await clientOf(key.urls[0]!, join(of.state, 'site', 'tls'));
    return await client.call({
      method,
      path: `${path}${path.includes('?') ? '&' : '?'}instance=${instance}`,
      body,
      answer: z.looseObject({ ticket: z.string().optional() }),
      timeoutMilliseconds: 40_000,
    });
  };
  return {
    folder,
    siteId,
    settings,
    identity,
    key,
    databaseName,
    machine,
    identityOf,
    call,
    forward: (milliseconds: number) => {
      aheadMilliseconds += milliseconds;
    },
    enrol: (of: Machine, options: { readonly replace?: boolean; readonly said?: string[] } = {}) =>
      enrol({
        state: of.state,
        runtime: of.runtime,
        machineRoot: of.root,
        keyFile,
        server: undefined,
        replace: options.replace ?? false,
        say: (text) => options.said?.push(text),
      }),
    report: async (of: Machine, name: string) => {
      const { agentId } = JSON.parse(await readFile(join(of.state, 'site', 'agent.json'), 'utf8')) as {
        agentId: string;
      };
      const ticketPath = join(of.state, 'site', 'tls', 'ticket');
      const ticket = await readFile(ticketPath, 'utf8').catch(() => undefined);
      const answer = await call(of, 'POST', agentLinkPaths.report, {
        role: 'mobility-service',
        machine: inventory(agentId, name),
        standing: { identity: await identityOf(of), ...(ticket === undefined ? {} : { ticket }) },
      });
      if (answer.ticket !== undefined) await writeFile(ticketPath, answer.ticket);
    },
    copiesSeenByVault: async () =>
      (await sites.listMachines(vault.database, siteId, { limit: 5 })).flatMap(({ copies }) => copies ?? []),
  };
}

function inventory(machineId: string, name: string) {
  return {
    machineId,
    name,
    addresses: ['192.0.2.1'],
    osName: 'Debian',
    kernel: '6.1',
    firmware: 'efi',
    cpuCount: 1,
    memoryBytes: 2 ** 30,
    version: '0.1.0',
    disks: [],
  };
}

test('a template that was enrolled: the first machine made from it is let in, the second is refused everything', async (t) => {
  const w = await world(t);
  const template = await w.machine('template', facts);
  await w.enrol(template);
  const first = await w.machine('first', { ...facts, ...otherFacts }, template);
  const second = await w.machine(
    'second',
    { ...otherFacts, product: 'another', nics: [], serials: ['vol-3'] },
    template,
  );
  await w.report(first, 'web-1');
  const refused = {
    code: 'MachineCopied',
    says: /web-2.* has the identity of web-1, which is another machine/,
    cause: /cloned/,
    action: /leeward-mobility-service enrol .*restart leeward-mobility.*--replace/s,
  };
  await throwsExplained(t, w.report(second, 'web-2'), refused);
  const requestPem = await makeRequest(join(w.folder, 'request'));
  for (const [method, path, body] of [
    ['GET', agentLinkPaths.wanted, undefined],
    ['POST', agentLinkPaths.taken, { version: 'v' }],
    ['POST', agentLinkPaths.certificate, { requestPem }],
    ['POST', agentLinkPaths.commandAnswers, { answers: [{ commandId: systemRandom.uuid() }] }],
  ] as const) {
    await t.throwsAsync(w.call(second, method, path, body), { code: 'MachineStillLive' }, path);
    await t.notThrowsAsync(w.call(first, method, path, body), path);
  }
  const [copy, ...none] = await eventually('the vault hears of it', 60, async () => {
    const copies = await w.copiesSeenByVault();
    return copies.length > 0 ? copies : undefined;
  });
  t.deepEqual(none, []);
  t.like(copy, { name: 'web-2', addresses: ['127.0.0.1', '192.0.2.1'] });
  // It goes on being a copy, with the same first moment, until it is silent.
  w.forward(200_000);
  await t.throwsAsync(w.report(second, 'web-2'), { code: 'MachineCopied' });
  w.forward(200_000);
  await w.report(first, 'renamed');
  await eventually('the vault hears of the name', 60, async () =>
    (await sites.listMachines(vault.database, w.siteId, { limit: 5 })).some(({ name }) => name === 'renamed')
      ? true
      : undefined,
  );
  t.deepEqual(await w.copiesSeenByVault(), [copy]);
  w.forward(200_000);
  await w.report(first, 'web-1');
  await eventually('the copy is gone', 60, async () =>
    (await w.copiesSeenByVault()).length === 0 ? true : undefined,
  );
});

test('a copy in the same hardware is found out by the original’s next report, whichever of the two has the newer state', async (t) => {
  const w = await world(t);
  const original = await w.machine('original', facts);
  await w.enrol(original);
  await w.report(original, 'web');
  const copy = await w.machine('copy', { ...facts, bootId: 'another' }, original);
  await t.throwsAsync(w.report(copy, 'web'), { code: 'MachineStillLive' });
  await t.throwsAsync(w.report(copy, 'web'), { code: 'MachineStillLive' });
  await w.report(original, 'web');
  await throwsExplained(t, w.report(copy, 'web'), {
    code: 'MachineCopied',
    says: /both were running at the same time/,
    cause: /cloned/,
    action: /enrol/,
  });
  // The original is cut off: the copy stays one.
  w.forward(3_600_000);
  await t.throwsAsync(w.report(copy, 'web'), { code: 'MachineCopied' });
  await t.notThrowsAsync(w.report(original, 'web'));
});

test('an original that was rebooted, reverted, renamed, or got another card or UUID is let in again', async (t) => {
  const w = await world(t);
  const original = await w.machine('original', facts);
  await w.enrol(original);
  await w.report(original, 'web');
  const ticketPath = join(original.state, 'site', 'tls', 'ticket');
  const early = await readFile(ticketPath, 'utf8');
  for (const [what, changed, isReverted] of [
    ['rebooted', { bootId: 'second' }, false],
    ['one card', { bootId: 'third', nics: ['00:50:56:9a:00:09'] }, false],
    ['its UUID', { bootId: 'fourth', nics: ['00:50:56:9a:00:09'], product: 'by-hand' }, false],
    ['reverted', { bootId: 'fifth', nics: ['00:50:56:9a:00:09'], product: 'by-hand' }, true],
    ['reverted with its memory', { bootId: 'fifth', nics: ['00:50:56:9a:00:09'], product: 'by-hand' }, true],
  ] as const) {
    await writeMachineFacts(original.root, { ...facts, ...changed });
    if (isReverted) await writeFile(ticketPath, early);
    // It may come while nobody knows yet that its run before has ended.
    await t.throwsAsync(w.report(original, 'web'), { code: 'MachineStillLive' }, what);
    w.forward(31_000);
    await t.notThrowsAsync(w.report(original, `web after: ${what}`), what);
    await t.notThrowsAsync(w.report(original, `web after: ${what}`), what);
    await t.notThrowsAsync(w.call(original, 'GET', agentLinkPaths.wanted), what);
  }
  await eventually('the vault knows its name', 60, async () =>
    (await sites.listMachines(vault.database, w.siteId, { limit: 5 })).some(({ name }) =>
      name.includes('memory'),
    )
      ? true
      : undefined,
  );
  t.deepEqual(await w.copiesSeenByVault(), []);
});

test('enrolled again, a copy is a machine of its own, and an original the one that it was', async (t) => {
  const w = await world(t);
  const original = await w.machine('original', facts);
  const agent = await w.enrol(original);
  await w.report(original, 'web');
  t.is((await w.enrol(original)).agentId, agent.agentId);
  const copy = await w.machine('copy', otherFacts, original);
  await t.throwsAsync(w.report(copy, 'copy'), { code: 'MachineCopied' });
  await eventually('the vault hears of it', 60, async () =>
    (await w.copiesSeenByVault()).length > 0 ? true : undefined,
  );
  const said: string[] = [];
  const own = await w.enrol(copy, { said });
  t.not(own.agentId, agent.agentId);
  t.regex(said.join('\n'), /becomes a machine of its own\nwhat it had of the other machine is kept in /);
  const [archive, ...rest] = (await readdir(copy.state)).filter((name) => name !== 'site');
  t.deepEqual(rest, []);
  t.is(
    JSON.parse(await readFile(join(copy.state, archive!, 'site', 'agent.json'), 'utf8')).agentId,
    agent.agentId,
  );
  await t.notThrowsAsync(w.report(copy, 'copy'));
  await t.notThrowsAsync(w.report(original, 'web'));
  await eventually('both are machines, and none is a copy', 60, async () => {
    const machines = await sites.listMachines(vault.database, w.siteId, { limit: 5 });
    return machines.length === 2 && machines.every(({ copies }) => copies === undefined) ? true : undefined;
  });
  // Again: it is what it became.
  t.is((await w.enrol(copy)).agentId, own.agentId);
});

test('with --replace a machine takes the place of one that is gone, and process servers are told of it', async (t) => {
  const w = await world(t);
  const original = await w.machine('original', facts);
  const agent = await w.enrol(original);
  const processServer = await enrolAgent(
    { folder: join(w.folder, 'ps'), role: 'process-server', name: 'ps', key: w.key, hosts: ['127.0.0.1'] },
    { files: systemFiles, clock: systemClock, random: systemRandom },
  );
  await w.report(original, 'web');
  await using database = openDatabase({
    socketPath: mariadb.socketPath,
    user: 'root',
    database: w.databaseName,
  });
  await items.put(
    database,
    {
      itemId: systemRandom.uuid() as never,
      machineId: agent.agentId,
      processServerId: processServer.agentId,
      name: 'web',
      disks: [{ diskId: systemRandom.uuid() as never, path: '/dev/vda' }],
      policy: { crashConsistentSeconds: 5, applicationConsistentSeconds: 0 },
      sealedKey: seal(await w.identity.masterKey(), systemRandom.bytes(32), systemRandom),
    },
    new Date(systemClock.now()).toISOString(),
  );
  using client = await clientOf(w.key.urls[0]!, join(w.folder, 'ps', 'tls'));
  const expected = async () => {
    const { wanted } = await client.call({
      method: 'GET',
      path: agentLinkPaths.wanted,
      answer: z.object({ wanted: ProcessServerWanted }),
      timeoutMilliseconds: 40_000,
    });
    return wanted.items[0]?.machineIdentity;
  };
  t.is(await expected(), lastingIdentity(await w.identityOf(original)));
  const moved = await w.machine('moved', otherFacts, original);
  t.is((await w.enrol(moved, { replace: true })).agentId, agent.agentId);
  t.is(await expected(), lastingIdentity(await w.identityOf(moved)));
  await t.notThrowsAsync(w.report(moved, 'web'));
  await t.throwsAsync(w.report(original, 'web'), { code: 'MachineCopied' });
  await t.notThrowsAsync(w.report(moved, 'web'));
});
