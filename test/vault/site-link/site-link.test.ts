/** Goal: a site is known by its certificate alone, its report is kept whole, each order is answered once. Real TLS, real MariaDB. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { z } from 'zod';
import { systemClock, withDeadline } from '../../../src/platform/clock.ts';
import { JsonClient } from '../../../src/platform/https-json.ts';
import { issueAuthority, issueCertificate } from '../../../src/platform/tls.ts';
import {
  AnswersAnswer,
  OrdersAnswer,
  ReportAnswer,
  type SiteReport,
  siteLinkPaths,
} from '../../../src/protocol/control/site-link.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import {
  clientOf,
  type RegisteredSite,
  type SiteLinkVault,
  startSiteLinkVault,
} from '../../support/site-link-vault.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
const timeoutMilliseconds = 40_000;
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

function machine(index: number) {
  return {
    machineId: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    name: `machine-${String(index).padStart(5, '0')}`,
    addresses: ['192.0.2.1'],
    osName: 'Debian GNU/Linux 12',
    kernel: '6.1.0',
    firmware: 'efi' as const,
    cpuCount: 2,
    memoryBytes: 4 * 2 ** 30,
    mobilityService: { version: '0.1.0', lastHeartbeatAt: '2026-01-01T00:00:00.000Z' },
    disks: [{ path: '/dev/sda', name: 'sda', sizeBytes: 1 << 30, readinessErrors: [], uses: ['/'] }],
  };
}

function report(page: Partial<SiteReport>): unknown {
  return {
    configurationServer: {
      version: '0.1.0',
      hostName: 'appliance',
      addresses: [],
      at: new Date(systemClock.now()).toISOString(),
      health: [],
    },
    processServers: [],
    machines: [],
    page: { index: 0, last: true },
    ...page,
  };
}

const send = (site: RegisteredSite, page: unknown) =>
  site.client.call({
    method: 'POST',
    path: siteLinkPaths.report,
    body: page,
    answer: ReportAnswer,
    timeoutMilliseconds,
  });
const fetchOrders = (site: RegisteredSite, after: number, signal?: AbortSignal) =>
  site.client.call({
    method: 'GET',
    path: `${siteLinkPaths.orders}?after=${after}`,
    answer: OrdersAnswer,
    timeoutMilliseconds,
    ...(signal ? { signal } : {}),
  });
const answer = (site: RegisteredSite, orderId: string, output: string) =>
  site.client.call({
    method: 'POST',
    path: siteLinkPaths.answers,
    body: {
      answers: [
        {
          orderId,
          outcome: { state: 'done', output },
          answeredAt: new Date(systemClock.now()).toISOString(),
        },
      ],
    },
    answer: AnswersAnswer,
    timeoutMilliseconds,
  });
const soon = () => new Date(systemClock.now() + 60_000).toISOString();
const orderId = (n: number) => `11111111-0000-4000-8000-${String(n).padStart(12, '0')}`;
const unprotect = { order: 'unprotect', itemId: '22222222-0000-4000-8000-000000000000' } as never;

test('a registered site reports, takes an order and answers it once', async (t) => {
  using site = await vault.registered('site-a');
  t.is(site.fabricName, 'site-a');
  await send(site, report({ machines: [machine(1)] as never }));
  const known = await sites.byId(vault.database, site.siteId);
  t.is(known?.configurationServer?.hostName, 'appliance');
  t.truthy(known?.lastReportAt);

  const waiting = fetchOrders(site, 0);
  await vault.orders.place({
    orderId: orderId(1),
    siteId: site.siteId,
    content: unprotect,
    expiresAt: soon(),
  });
  const { orders } = await waiting;
  t.deepEqual(
    orders.map((order) => [order.orderId, order.sequence]),
    [[orderId(1), 1]],
  );
  t.deepEqual((await answer(site, orderId(1), 'first')).kept, [orderId(1)]);
  t.deepEqual(
    (await answer(site, orderId(1), 'second')).kept,
    [orderId(1)],
    'told as kept: it need not be sent again',
  );
  t.deepEqual((await vault.orders.answer(orderId(1)))?.outcome, { state: 'done', output: 'first' });
  t.deepEqual(vault.answered.filter((id) => id === orderId(1)).length, 1);
});

test('an order placed twice with one id is one order', async (t) => {
  using site = await vault.registered('site-b');
  const place = () =>
    vault.orders.place({ orderId: orderId(20), siteId: site.siteId, content: unprotect, expiresAt: soon() });
  await Promise.all([place(), place(), place()]);
  const { orders } = await fetchOrders(site, 0);
  t.is(orders.length, 1);
});

test('a site that has stored an order is not given it again', async (t) => {
  using site = await vault.registered('site-c');
  for (const n of [30, 31])
    await vault.orders.place({
      orderId: orderId(n),
      siteId: site.siteId,
      content: unprotect,
      expiresAt: soon(),
    });
  const { orders } = await fetchOrders(site, 1);
  t.deepEqual(
    orders.map(({ sequence }) => sequence),
    [2],
  );
});

test('a later request for orders takes the place of an earlier one that still waits', async (t) => {
  using site = await vault.registered('site-d');
  // The first one waits from this call on: of two requests over the network either may arrive first.
  const first = vault.orders.wait(site.siteId, 0, new AbortController().signal);
  const second = fetchOrders(site, 0);
  t.deepEqual(await first, []);
  await vault.orders.place({
    orderId: orderId(40),
    siteId: site.siteId,
    content: unprotect,
    expiresAt: soon(),
  });
  t.is((await second).orders.length, 1);
});

test('a request whose place is taken while an order wakes it does not take it back', async (t) => {
  using site = await vault.registered('site-n');
  const never = new AbortController().signal;
  // It waits for what comes after the order that wakes it, so that only the later one can be given anything.
  const first = vault.orders.wait(site.siteId, 41, never);
  await vault.orders.place({
    orderId: orderId(41),
    siteId: site.siteId,
    content: unprotect,
    expiresAt: soon(),
  });
  const second = vault.orders.wait(site.siteId, 41, never);
  t.is((await vault.orders.wait(site.siteId, 0, never)).length, 1);
  // Well before the 25 s that each of them would wait in vain.
  const replaced = withDeadline(
    systemClock,
    15_000,
    Promise.all([first, second]),
    () => new Error('still waiting'),
  );
  t.deepEqual(await replaced, [[], []]);
});

test('an order that is not answered in its time is answered in the site’s place, and stays so', async (t) => {
  using site = await vault.registered('site-e');
  await vault.orders.place({
    orderId: orderId(50),
    siteId: site.siteId,
    content: unprotect,
    expiresAt: new Date(systemClock.now() + 1000).toISOString(),
  });
  vault.offsetMilliseconds = 120_000;
  await vault.orders.expire();
  vault.offsetMilliseconds = 0;
  const outcome = (await vault.orders.answer(orderId(50)))?.outcome;
  t.like(outcome, { state: 'failed', error: { code: 'OrderExpired' } });
  await answer(site, orderId(50), 'too late');
  t.deepEqual((await vault.orders.answer(orderId(50)))?.outcome, outcome);
});

test('what is not in a report is gone, and a report that breaks off takes nothing away', async (t) => {
  using site = await vault.registered('site-f');
  const all = Array.from({ length: 2500 }, (_, index) => machine(index));
  const pages = [all.slice(0, 1000), all.slice(1000, 2000), all.slice(2000)];
  for (const [index, machines] of pages.entries())
    await send(site, report({ machines: machines as never, page: { index, last: index === 2 } }));
  const read = async () => {
    const found: string[] = [];
    for (;;) {
      const last =
        found.length === 0
          ? undefined
          : { name: `machine-${found.at(-1)!.slice(-5)}`, machineId: found.at(-1)! };
      const page = await sites.listMachines(vault.database, site.siteId, {
        limit: 400,
        ...(last ? { after: last } : {}),
      });
      found.push(...page.map(({ machineId }) => machineId));
      if (page.length < 400) return found;
    }
  };
  t.is((await read()).length, 2500);
  await send(site, report({ machines: pages[0] as never, page: { index: 0, last: false } }));
  t.is((await read()).length, 2500);
  const error = await t.throwsAsync(
    send(site, report({ machines: pages[2] as never, page: { index: 2, last: true } })),
  );
  t.like(error, { code: 'ReportOutOfOrder', retry: 'transient' });
  await send(site, report({ machines: [machine(7)] as never }));
  t.deepEqual(await read(), [machine(7).machineId]);
});

test('nobody takes another site’s process server', async (t) => {
  using one = await vault.registered('site-g');
  using other = await vault.registered('site-h');
  const requestPem = await (await import('../../../src/platform/certificate-request.ts')).makeRequest(
    await mkdtemp(join(vault.folder, 'ps-')),
  );
  const ask = (site: RegisteredSite) =>
    site.client.call({
      method: 'POST',
      path: siteLinkPaths.processServerCertificate,
      body: { processServerId: orderId(60), requestPem },
      answer: z.object({ certificatePem: z.string() }),
      timeoutMilliseconds,
    });
  t.true((await ask(one)).certificatePem.includes('BEGIN CERTIFICATE'));
  t.true((await ask(one)).certificatePem.includes('BEGIN CERTIFICATE'), 'asked again, it gets one again');
  t.like(await t.throwsAsync(ask(other)), { code: 'ProcessServerOfAnotherSite' });
});

test('a caller without a certificate, with a foreign one or with another role’s is refused, each with its reason', async (t) => {
  const { caFile } = vault.authority;
  const own = async (commonName: string, folder: string, authority = vault.authority) => {
    await issueCertificate({
      folder,
      authority,
      commonName,
      hosts: [],
      days: 1,
      usage: 'client',
    });
    const { copyFile } = await import('node:fs/promises');
    await copyFile(caFile, join(folder, 'ca.pem'));
    return clientOf(vault.url, folder);
  };
  const { readFile } = await import('node:fs/promises');
  const foreign = await issueAuthority(join(vault.folder, 'foreign'));
  const cases: readonly (readonly [string, JsonClient])[] = [
    [
      'SiteCertificateMissing',
      new JsonClient({
        url: vault.url,
        ca: await readFile(caFile, 'utf8'),
        clock: systemClock,
        answerBytesMax: 1 << 20,
      }),
    ],
    ['SiteCertificateMissing', await own(`site/${orderId(70)}`, join(vault.folder, 'c1'), foreign)],
    ['NotASite', await own('process-server/one', join(vault.folder, 'c2'))],
    ['SiteUnknown', await own(`site/${orderId(71)}`, join(vault.folder, 'c3'))],
  ];
  for (const [code, client] of cases) {
    using caller = client;
    const error = await t.throwsAsync(
      caller.call({
        method: 'GET',
        path: `${siteLinkPaths.orders}?after=0`,
        answer: OrdersAnswer,
        timeoutMilliseconds,
      }),
    );
    t.like(error, { code, retry: 'permanent' });
  }
});

test('a removed site’s certificate opens nothing any more', async (t) => {
  using site = await vault.registered('site-i');
  await send(site, report({}));
  await sites.remove(vault.database, site.siteId, new Date(systemClock.now()).toISOString());
  t.like(await t.throwsAsync(send(site, report({}))), { code: 'SiteUnknown' });
  // Its name is free again.
  using again = await vault.registered('site-i');
  t.not(again.siteId, site.siteId);
});
