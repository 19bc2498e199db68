/** What every failover provider promises, whatever hypervisor is behind it. */
import type { TestFn } from 'ava';
import { LeewardError } from '../../src/platform/errors.ts';
import type { FailoverProvider, MachineDefinition } from '../../src/vault/failover/provider.ts';
import { describePng } from '../../src/vault/failover/screen.ts';

export interface ProviderUnderTest {
  readonly provider: FailoverProvider;
  /** A machine that says `TINY READY` on its console within a minute and serves port 80. */
  readonly machine: (name: string, tries?: readonly string[]) => MachineDefinition;
  /** Whatever the provider left at its host, as text; empty when nothing is. */
  readonly traces: () => Promise<string>;
}

/** Emulated on two busy cores the tiny guest needs 10 s; minutes more for a loaded machine. */
const bootMilliseconds = 180_000;

export function failoverProviderSuite(
  test: TestFn,
  title: string,
  subject: () => Promise<ProviderUnderTest>,
): void {
  test(`${title}: a machine starts once, answers, shows its screen and goes without a trace`, async (t) => {
    const { provider, machine, traces } = await subject();
    const name = 'leeward-test-answers-1';
    const definition = machine(name);
    try {
      t.truthy((await provider.check()).reason);
      await provider.start(definition);
      await provider.start(definition);
      t.deepEqual(await provider.list(), [name]);
      const { address } = await provider.waitUntilReady(name, { type: 'port', port: 80 }, bootMilliseconds);
      t.regex(address ?? '', /^10\.213\./);
      await provider.waitUntilReady(name, { type: 'console', text: 'TINY READY' }, bootMilliseconds);
      const screen = describePng(await provider.screenshot(name));
      t.true(screen.width >= 640 && screen.height >= 400);
      t.false(screen.isBlank);
      t.true(await provider.isRunning(name));
    } finally {
      await provider.remove(name);
    }
    await provider.remove(name);
    t.false(await provider.isRunning(name));
    t.deepEqual(await provider.list(), []);
    t.is(await traces(), '');
  });

  test(`${title}: it says how much room its host has`, async (t) => {
    const { provider } = await subject();
    const { cpuCount, memoryMebibytes } = await provider.room();
    t.true(Number.isInteger(cpuCount) && cpuCount >= 1);
    t.true(Number.isInteger(memoryMebibytes) && memoryMebibytes >= 1);
  });

  test(`${title}: a machine that never answers is named with its last words`, async (t) => {
    const { provider, machine, traces } = await subject();
    const name = 'leeward-test-silent-1';
    try {
      await provider.start(machine(name));
      await provider.waitUntilReady(name, { type: 'console', text: 'TINY READY' }, bootMilliseconds);
      const error = await t.throwsAsync<LeewardError>(
        provider.waitUntilReady(name, { type: 'console', text: 'words that are never said' }, 500),
      );
      t.true(error instanceof LeewardError);
      t.is(error?.code, 'MachineDidNotAnswer');
      t.regex(error?.summary ?? '', /TINY READY/);
    } finally {
      await provider.remove(name);
    }
    t.is(await traces(), '');
  });

  test(`${title}: a machine that cannot start leaves nothing`, async (t) => {
    const { provider, machine, traces } = await subject();
    const name = 'leeward-test-diskless-1';
    const definition = { ...machine(name), disks: [{ path: '/nowhere/disk.raw', bus: 'virtio' as const }] };
    try {
      await t.throwsAsync(provider.start(definition), { code: 'MachineNotStarted' });
    } finally {
      await provider.remove(name);
    }
    t.is(await traces(), '');
  });
}
