/**
 * Goal: a machine goes off for a failover only after everything else has stopped, the last bookmark is durable and the site has
 * heard of it; when any of that fails it stays up, and what was stopped runs again. Method: the real link to a server of the
 * test's own in the site's place, which notes what comes in which order.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runSite, type SiteParts } from '../../../src/mobility-service/control/site.ts';
import { errors } from '../../../src/mobility-service/errors.ts';
import { keepCertificate, makeRequest, signRequest } from '../../../src/platform/certificate-request.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../../../src/platform/tls.ts';
import { agentLinkPaths } from '../../../src/protocol/control/agent-link.ts';

const bookmarkId = systemRandom.uuid();

async function ordered(
  t: ExecutionContext,
  other: (happened: string[], parts: Pick<SiteParts, 'runs' | 'stopWriters'>) => Partial<SiteParts>,
) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-shut-down-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const authority = await issueAuthority(join(folder, 'authority'));
  const caPem = await readFile(authority.caFile, 'utf8');
  const tls = join(folder, 'tls');
  const requestPem = await makeRequest(tls);
  const names = { commonName: 'machine/one', hosts: [], days: 90, usage: 'client' } as const;
  await keepCertificate(tls, await signRequest({ authority, requestPem, ...names }), caPem);
  const own = await issueCertificate({
    ...{ folder: join(folder, 'server'), authority, commonName: 'site', hosts: ['127.0.0.1'], days: 2 },
    usage: 'server',
  });
  const happened: string[] = [];
  const commandId = systemRandom.uuid();
  let answer: { failed?: { code: string } } | undefined;
  let isFarewellKept = false;
  const server = createServer(await tlsOptions(own), async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = request.url?.split('?')[0];
    if (path === agentLinkPaths.report) {
      const { farewell } = JSON.parse(body) as { farewell?: { bookmarkId: string } };
      if (farewell && !isFarewellKept) happened.push(`good-bye ${farewell.bookmarkId === bookmarkId}`);
      if (!farewell && isFarewellKept) happened.push('taken back');
      isFarewellKept = farewell !== undefined;
    }
    if (path === agentLinkPaths.commandAnswers) answer = JSON.parse(body).answers[0];
    const isWanted = path === agentLinkPaths.wanted;
    const commands = answer ? [] : [{ commandId, command: 'shut-down' }];
    const wanted = {
      version: 'v',
      wanted: { role: 'mobility-service', item: null },
      commands,
      at: '2026-01-01T00:00:00.000Z',
    };
    response.end(JSON.stringify(isWanted ? wanted : {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await writeFile(
    join(folder, 'agent.json'),
    JSON.stringify({
      ...{ format: 'leeward-agent/1', role: 'mobility-service', agentId: systemRandom.uuid(), name: 'one' },
      ...{ urls: [`https://127.0.0.1:${(server.address() as AddressInfo).port}`], caPem, hosts: [] },
    }),
  );
  const off = join(folder, 'off');
  await writeFile(join(folder, 'power-off'), `#!/bin/sh\ntouch ${off}\n`);
  await chmod(join(folder, 'power-off'), 0o700);
  const standard = {
    onReported: () => {},
    identity: async () => 'leeward-machine/1 instance=0123456789abcdef',
    runs: {
      reload: async () => {},
      settled: async () => {},
      takeBookmark: async () => {
        happened.push('bookmark');
        return { bookmarkId } as never;
      },
    },
    stopWriters: async () => {
      happened.push('stopped');
      return { undo: async () => void happened.push('started again') };
    },
  };
  const stop = new AbortController();
  const running = runSite(
    {
      ...{ folder, version: '1', clock: systemClock, log: silentLog, powerOff: [join(folder, 'power-off')] },
      ...standard,
      ...other(happened, standard),
    },
    stop.signal,
  );
  t.teardown(async () => {
    stop.abort();
    await running;
    server.closeAllConnections();
    server.close();
  });
  const done = await until(
    systemClock,
    60_000,
    () => answer,
    () => new Error(happened.join(', ')),
  );
  return { happened, code: done.failed?.code, isOff: existsSync(off) };
}

test('everything is stopped, the last bookmark is durable, the site has heard of it, and only then it goes off', async (t) => {
  const found = await ordered(t, () => ({}));
  t.deepEqual(found, { happened: ['stopped', 'bookmark', 'good-bye true'], code: undefined, isOff: true });
});

test('a machine whose last bookmark does not arrive stays up, and says no good-bye', async (t) => {
  const found = await ordered(t, (happened, { runs }) => ({
    runs: {
      ...runs,
      takeBookmark: async () => {
        happened.push('no bookmark');
        throw errors.BookmarkNotTaken('CrashConsistent', 1, undefined);
      },
    },
  }));
  t.deepEqual(found, {
    happened: ['stopped', 'no bookmark', 'started again'],
    ...{ code: 'LastBookmarkNotSent', isOff: false },
  });
});

test('a machine that cannot be switched off takes its good-bye back, and its services run again', async (t) => {
  const found = await ordered(t, () => ({ powerOff: ['/bin/false'] }));
  t.is(found.isOff, false);
  t.truthy(found.code);
  t.deepEqual(found.happened.slice(0, 3), ['stopped', 'bookmark', 'good-bye true']);
  t.true(found.happened.includes('started again'));
});

test('where nobody can stop what writes the machine goes off without a good-bye', async (t) => {
  const found = await ordered(t, () => ({ stopWriters: undefined }));
  t.deepEqual(found, { happened: [], code: undefined, isOff: true });
});
