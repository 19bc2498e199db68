/**
 * Goal: when a machine's newest recovery point is older than its policy allows, somebody is told, and told again when it is
 * over: an event, a mail, a signed webhook.
 * Method: the real processes; a mail server that demands TLS and a password, and a web server, both the test's own; the mobility
 * service is stopped until the threshold of one minute is past, and started again.
 */
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import anyTest from 'ava';
import { SMTPServer } from 'smtp-server';
import { issueAuthority, issueCertificate } from '../../src/platform/tls.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { eventually } from '../support/site.ts';
import { TwoSites } from '../support/two-sites.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const password = crypto.randomUUID();
const webhookSecret = crypto.randomUUID();

test('an RPO beyond its threshold is an event, a mail and a webhook, and so is its end', async (t) => {
  t.timeout(420_000);
  const sites = await TwoSites.start();
  t.teardown(() => sites[Symbol.asyncDispose]());
  t.teardown(() => {
    if (!t.passed) t.log(sites.logs().slice(-8000));
  });
  const secrets = join(sites.folder, 'secrets');
  const authority = await issueAuthority(secrets);
  const tls = await issueCertificate({
    folder: join(secrets, 'mail'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost'],
    days: 2,
    usage: 'server',
  });

  const mails: { readonly to: readonly string[]; readonly text: string }[] = [];
  const mailServer = new SMTPServer({
    secure: true,
    cert: await readFile(tls.certificateFile),
    key: await readFile(tls.keyFile),
    onAuth: (auth, _session, done) =>
      auth.username === 'leeward' && auth.password === password
        ? done(null, { user: 'leeward' })
        : done(new Error('wrong password')),
    onData: (stream, { envelope }, done) => {
      void text(stream).then((mail) => {
        mails.push({ to: envelope.rcptTo.map(({ address }) => address), text: mail });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => mailServer.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise<void>((resolve) => mailServer.close(() => resolve())));
  const posts: { readonly body: string; readonly signature: unknown }[] = [];
  const webServer = createServer((request, response) => {
    void text(request).then((body) => {
      posts.push({ body, signature: request.headers['leeward-signature'] });
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => webServer.listen(0, '127.0.0.1', resolve));
  t.teardown(() => webServer.close());
  const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

  writeFileSync(join(secrets, 'mail-password'), `${password}\n`, { mode: 0o600 });
  writeFileSync(join(secrets, 'webhook-secret'), `${webhookSecret}\n`, { mode: 0o600 });
  await sites.vault.kill('SIGTERM');
  const settingsPath = join(sites.vaultFolder, 'vault.json');
  const settings = JSON.parse(readFileSync(settingsPath, 'utf8'));
  settings.alerts = {
    mail: {
      host: 'localhost',
      port: portOf(mailServer.server),
      from: 'leeward@example.org',
      user: 'leeward',
      passwordFile: join(secrets, 'mail-password'),
      caFile: tls.caFile,
    },
    webhooks: [
      { url: `http://127.0.0.1:${portOf(webServer)}/hook`, secretFile: join(secrets, 'webhook-secret') },
    ],
  };
  writeFileSync(settingsPath, JSON.stringify(settings));
  sites.vault.start();
  await sites.vaultAnswers();
  await sites.ask('PUT', '/replicationAlertSettings/defaultAlertSetting', {
    properties: {
      sendToOwners: 'DoNotSend',
      customEmailAddresses: ['operator@example.org'],
      locale: 'en-US',
    },
  });

  const { path } = await makeLoop(t, 16 << 20);
  const machine = await sites.protect('web', [path], { crashConsistentSeconds: 1 });
  t.teardown(() => machine.end());
  await sites.done('PATCH', '/replicationPolicies/every-1-0', {
    properties: {
      replicationProviderSettings: {
        instanceType: 'InMageAzureV2',
        recoveryPointThresholdInMinutes: 1,
        multiVmSyncStatus: 'Disable',
      },
    },
  });
  await machine.pointAfter(0);
  await machine.service.kill('SIGTERM');

  const changes = () =>
    posts
      .flatMap(({ body }) => JSON.parse(body).changes as { kind: string; code: string; objectName: string }[])
      .filter(({ code }) => code === 'RpoExceeded');
  const mailsOf = (subject: RegExp) => mails.filter(({ text: mail }) => subject.test(mail));
  await eventually('the breach is told of', 300, () =>
    changes().length >= 1 && mailsOf(/^Subject: .*RpoExceeded/m).length >= 1 ? true : undefined,
  );
  t.like(changes()[0], { kind: 'Raised', objectName: 'web' });
  for (const { body, signature } of posts)
    t.is(signature, `sha256=${createHmac('sha256', webhookSecret).update(body).digest('hex')}`);
  const [mail] = mailsOf(/^Subject: .*RpoExceeded of web/m);
  t.deepEqual(mail?.to, ['operator@example.org']);
  t.regex(mail!.text, /what to do:/);
  const item = await sites.ask('GET', machine.path);
  t.is(item.properties.replicationHealth, 'Warning');
  t.is(item.properties.healthErrors[0].errorCode, 'RpoExceeded');
  const eventsOf = () => sites.all('/replicationEvents', { $filter: "eventCode eq 'RpoExceeded'" });
  t.deepEqual(
    (await eventsOf()).map(({ properties }) => properties.severity),
    ['Warning'],
  );

  machine.service.start();
  await eventually('its end is told of', 300, () =>
    changes().some(({ kind }) => kind === 'Cleared') && mails.length >= 2 ? true : undefined,
  );
  t.deepEqual(
    (await eventsOf()).map(({ properties }) => properties.severity),
    ['OK', 'Warning'],
  );
  t.is((await sites.ask('GET', machine.path)).properties.replicationHealth, 'Normal');
  t.false(sites.logs().includes(password) || sites.logs().includes(webhookSecret));
});
