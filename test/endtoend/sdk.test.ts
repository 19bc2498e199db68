/**
 * Goal: the main job, driven by clients that nobody here wrote. A vault of one's own (`make vault`), a site that registers with
 * a key from the API, and then Microsoft's SDK alone: protect, wait for a point, rehearse, clean up, fail over, commit, disable.
 * Method: every process is the real one; the protected disk boots (a boot sector that says so on its console); the machine of
 * the test failover is a real one under libvirt, and the point's disk equals the source byte for byte.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { tryRun } from '../../src/platform/exec.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { listSites } from '../support/namespaces.ts';
import { OwnVault } from '../support/own-vault.ts';
import { eventually } from '../support/site.ts';
import { RealSite } from '../support/site-world.ts';

const root = join(import.meta.dirname, '../..');
const reason =
  canLoop() ??
  canTrace() ??
  (existsSync('/usr/sbin/libvirtd') ? undefined : 'there is no libvirtd on this machine');
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const words = 'LEEWARD BOOTED FROM A RECOVERY POINT';

/**
 * 512 bytes that a BIOS starts: each character goes to the screen (INT 10h) and to the first serial port, then the processor
 * halts. Assembled by hand from the processor's manual.
 */
function bootSector(text: string): Buffer {
  const sector = Buffer.alloc(512);
  Buffer.from([
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x20, 0x7c], // cli; xor ax,ax; mov ds,ax; mov si,7c20h
    ...[0xac, 0x08, 0xc0, 0x74, 0x0c], // next: lodsb; or al,al; jz end
    ...[0xb4, 0x0e, 0x50, 0xcd, 0x10, 0x58], // mov ah,0eh; push ax; int 10h; pop ax
    ...[0xba, 0xf8, 0x03, 0xee, 0xeb, 0xef], // mov dx,3f8h; out dx,al; jmp next
    ...[0xf4, 0xeb, 0xfd], // end: hlt; jmp end
  ]).copy(sector);
  sector.write(`${text}\r\n\0`, 0x20, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

test('the main job through the public SDK alone', async (t) => {
  t.timeout(480_000);
  const folder = await mkdtemp(join(tmpdir(), 'leeward-sdk-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const own = await OwnVault.start(folder);
  t.teardown(() => own[Symbol.asyncDispose]());
  const { data, variables } = own;
  t.is(statSync(own.environmentFile).mode & 0o777, 0o600);
  const node = (script: string, ...args: string[]) =>
    tryRun(process.execPath, [join(root, script), ...args], {
      timeoutMilliseconds: 300_000,
      env: { ...variables, XDG_CONFIG_HOME: join(folder, 'config') },
    });

  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(`${own.logs()}\n${site.logs()}`);
    await site[Symbol.asyncDispose]();
  });
  const keyFile = join(folder, 'site1.VaultCredentials');
  const key = await node(
    'src/bin/leeward.ts',
    'vault',
    'registration-key',
    '--fabric',
    'site1',
    '--out',
    keyFile,
  );
  t.is(key.exitCode, 0, key.stderr);
  await site.register(await readFile(keyFile, 'utf8'));
  site.server.start();

  const loop = await makeLoop(t, 32 << 20);
  const source = await open(loop.path, 'r+');
  await source.write(bootSector(words), 0, 512, 0);
  await source.write(Buffer.from(crypto.getRandomValues(new Uint8Array(1 << 16))), 0, 1 << 16, 8 << 20);
  await source.sync();
  await source.close();
  await site.startProcessServer();
  await site.startMachine('machine');

  const client = await own.sdk();
  const vault = variables.LEEWARD_VAULT!;
  const group = variables.LEEWARD_RESOURCE_GROUP!;
  const container = await eventually('the site has a container', 180, async () => {
    for await (const found of client.replicationProtectionContainers.listByReplicationFabrics(
      vault,
      group,
      'site1',
    ))
      return found.name!;
    return undefined;
  });
  const machines = () =>
    client.replicationProtectableItems.listByReplicationProtectionContainers(
      vault,
      group,
      'site1',
      container,
    );
  const name = await eventually('the machine is protectable', 180, async () => {
    for await (const { properties } of machines()) {
      const details = properties?.customDetails as { diskDetails?: { diskId: string }[] } | undefined;
      if (details?.diskDetails?.some(({ diskId }) => diskId === loop.path)) return properties!.friendlyName!;
    }
    return undefined;
  });
  t.is(name, hostname());

  const rehearsal = await node(
    'docs/api/examples/protect-and-rehearse.ts',
    name,
    '--disk',
    loop.path,
    '--size',
    'cpu1-memory1',
    '--keep',
  );
  t.is(rehearsal.exitCode, 0, `${rehearsal.stdout}\n${rehearsal.stderr}`);
  t.log(rehearsal.stdout);
  t.regex(rehearsal.stdout, /recovery point .* CrashConsistent/);
  const where = ['site1', container, name] as const;
  const item = await client.replicationProtectedItems.get(vault, group, ...where);
  t.is(item.properties?.activeLocation, 'Primary');
  const details = item.properties?.providerSpecificDetails as { protectedDisks?: unknown[] } | undefined;
  t.is(details?.protectedDisks?.length, 1);
  // Should the test fail before protection is disabled, its trace rings are taken away with the site.
  for (const file of readdirSync(join(site.folder, 'machine/state/site/items')))
    site.itemIds.push(/[0-9a-f-]{36}/.exec(file)![0]);

  // The machine that the point was booted as: its console, its screen, its disk.
  const console_ = await eventually('the machine says that it booted', 120, () => {
    const consoles = readdirSync(join(data, 'machines'), { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('console'),
    );
    const said = consoles.map((file) => readFileSync(join(data, 'machines', file), 'latin1')).join('');
    return said.includes(words) ? said : undefined;
  });
  t.true(console_.includes(words));
  const proofs = readdirSync(join(data, 'failovers'), { recursive: true, encoding: 'utf8' });
  const screen = proofs.find((file) => file.endsWith('screen.png'));
  t.true(screen !== undefined && statSync(join(data, 'failovers', screen)).size > 100);
  const verified = await node('src/bin/leeward.ts', 'protected-item', 'verify', name, '--wait');
  t.is(verified.exitCode, 0, verified.stderr);
  t.regex(verified.stdout, /verifiedBytes +[1-9]/);

  const cleaned = await client.replicationProtectedItems.beginTestFailoverCleanupAndWait(
    vault,
    group,
    ...where,
    {
      properties: { comments: 'it booted' },
    },
  );
  t.is(cleaned.properties?.testFailoverState, 'None');

  const failedOver = await client.replicationProtectedItems.beginUnplannedFailoverAndWait(
    vault,
    group,
    ...where,
    {
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        sourceSiteOperations: 'NotRequired',
        providerSpecificDetails: { instanceType: 'InMageAzureV2' },
      },
    },
  );
  t.true(failedOver.properties?.allowedOperations?.includes('Commit'));
  const committed = await client.replicationProtectedItems.beginFailoverCommitAndWait(vault, group, ...where);
  t.is(committed.properties?.activeLocation, 'Recovery');

  await client.replicationProtectedItems.beginDeleteAndWait(vault, group, ...where, {
    properties: {
      disableProtectionReason: 'NotSpecified',
      replicationProviderInput: { instanceType: 'InMage' },
    },
  });
  await t.throwsAsync(client.replicationProtectedItems.get(vault, group, ...where), {
    message: /not found/i,
  });
  const scenarios = new Map<string, string>();
  for await (const { properties } of client.replicationJobs.list(vault, group))
    scenarios.set(properties!.scenarioName!, properties!.state!);
  t.deepEqual([...new Set(scenarios.values())], ['Succeeded'], JSON.stringify([...scenarios]));

  await own.daemon.kill('SIGTERM');
  t.false((await listSites()).includes(own.siteName), 'the machines’ network is gone');
  t.true(existsSync(join(data, 'vault.json')), 'the data stays');
});
