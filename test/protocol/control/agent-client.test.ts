/**
 * Goal: an agent whose connection breaks while its certificate is renewed comes back with a key and a certificate that
 * belong together. Method: the real link against a server of the test's own; its key is a pipe at the moment in question.
 */

import { once } from 'node:events';
import { mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  certificateFiles,
  keepCertificate,
  makeRequest,
  signRequest,
} from '../../../src/platform/certificate-request.ts';
import { systemClock, withDeadline } from '../../../src/platform/clock.ts';
import { run } from '../../../src/platform/exec.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../../../src/platform/tls.ts';
import { AgentLink } from '../../../src/protocol/control/agent-client.ts';
import { agentLinkPaths } from '../../../src/protocol/control/agent-link.ts';

test('an agent that reconnects while its certificate is renewed does not mix the old one with the new key', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-agent-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const authority = await issueAuthority(join(folder, 'authority'));
  const caPem = await readFile(authority.caFile, 'utf8');
  const sign = (requestPem: string, days: number) =>
    signRequest({ authority, requestPem, commonName: 'machine/one', hosts: [], days, usage: 'client' });
  const tls = join(folder, 'tls');
  await keepCertificate(tls, await sign(await makeRequest(tls), 2), caPem);

  const asked = Promise.withResolvers<ServerResponse>();
  const first = Promise.withResolvers<ServerResponse>();
  const reported = Promise.withResolvers<void>();
  let reports = 0;
  const own = await issueCertificate({
    folder: join(folder, 'server'),
    authority,
    commonName: 'site',
    hosts: ['127.0.0.1'],
    days: 2,
    usage: 'server',
  });
  const server = createServer(await tlsOptions(own), (request, response) => {
    request.resume();
    if (request.url === agentLinkPaths.certificate) asked.resolve(response);
    else if (request.url === agentLinkPaths.report)
      if (++reports === 1) first.resolve(response);
      else {
        response.end('{}');
        reported.resolve();
      }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });

  const stop = new AbortController();
  const renewed = Promise.withResolvers<void>();
  const link = new AgentLink({
    clock: systemClock,
    random: systemRandom,
    files: systemFiles,
    log: silentLog,
    folder,
    agent: {
      agentId: systemRandom.uuid(),
      role: 'mobility-service',
      name: 'one',
      urls: [`https://127.0.0.1:${(server.address() as AddressInfo).port}`],
      hosts: [],
      caPem,
    } as never,
    report: async () => ({}) as never,
    apply: async () => {},
    command: async () => {},
    onRenewed: () => renewed.resolve(),
  });
  const running = link.run(stop.signal);
  t.teardown(async () => {
    stop.abort();
    await running;
  });
  const [response, refused] = await Promise.all([asked.promise, first.promise]);
  // A report that failed comes back in a connection of its own: it has the certificate then, and waits for the key.
  const { keyFile } = certificateFiles(tls);
  await run('mkfifo', [`${keyFile}.pipe`], { timeoutMilliseconds: 30_000 });
  await rename(`${keyFile}.pipe`, keyFile);
  refused.writeHead(502).end();
  const pipe = await open(keyFile, 'w');
  const requestPem = await readFile(join(tls, 'request.pem'), 'utf8');
  response.end(JSON.stringify({ certificatePem: await sign(requestPem, 90), caPem }));
  await renewed.promise;
  await pipe.writeFile(await readFile(keyFile));
  await pipe.close();
  await t.notThrowsAsync(
    withDeadline(systemClock, 60_000, reported.promise, () => new Error('it never comes back')),
  );
});
