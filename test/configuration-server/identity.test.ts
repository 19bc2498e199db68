/**
 * Goal: whoever asks first for what a site is known by (its authority, the secret that agents enrol with), all get the same.
 * Method: as a person does who starts the server and asks for the enrolment key at once: several identities on one new folder.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Identity } from '../../src/configuration-server/registration/identity.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { systemRandom } from '../../src/platform/random.ts';

test('a server that is just starting and who asks for its enrolment key agree', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-identity-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const identity = () =>
    new Identity({ dataFolder: folder, files: systemFiles, clock: systemClock, random: systemRandom });
  const [key, ...others] = await Promise.all(
    Array.from({ length: 4 }, () => identity().enrolmentKey(['cs1.example'], 443)),
  );
  for (const other of others) t.deepEqual(other, key);
  t.deepEqual(JSON.parse(await readFile(join(folder, 'enrolment.json'), 'utf8')), key);
  const { caFile, caKeyFile } = await identity().authority();
  t.is((await readFile(caFile, 'utf8')).trim(), key!.caPem);
  const openssl = (...args: string[]) => run('openssl', args, { timeoutMilliseconds: 60_000 });
  t.is(
    await openssl('pkey', '-in', caKeyFile, '-pubout'),
    await openssl('x509', '-in', caFile, '-noout', '-pubkey'),
    'the authority’s certificate is for its key',
  );
});
