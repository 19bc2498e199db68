/** Where tracefs is, and what is said where it is closed or missing: on trees in a temporary folder. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  findTracefs,
  kernelDeviceNumber,
  type TracefsPaths,
} from '../../../src/mobility-service/capture/tracefs.ts';
import { throwsExplained } from '../../support/explained.ts';

function makeTree(t: ExecutionContext<unknown>, files: Readonly<Record<string, string>>): TracefsPaths {
  const root = mkdtempSync(join(tmpdir(), 'leeward-tracefs-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return {
    tracing: join(root, 'tracing'),
    debugTracing: join(root, 'debug/tracing'),
    lockdown: join(root, 'lockdown'),
  };
}

const whole = (at: string) => ({
  [`${at}/trace_marker`]: '',
  [`${at}/events/block/block_rq_complete/format`]: '',
});

test('a kernel that is locked down at confidentiality is refused with that reason', async (t) => {
  const paths = makeTree(t, { ...whole('tracing'), lockdown: 'none integrity [confidentiality]\n' });
  await throwsExplained(t, findTracefs(paths), {
    code: 'KernelLockedDown',
    says: /confidentiality/,
    cause: /command line|policy/,
    action: /lockdown=integrity.*reboot/,
  });
});

test('integrity, the usual setting under Secure Boot, is no obstacle', async (t) => {
  const paths = makeTree(t, { ...whole('tracing'), lockdown: 'none [integrity] confidentiality\n' });
  t.is(await findTracefs(paths), paths.tracing);
});

test('old kernels have it below debugfs', async (t) => {
  const paths = makeTree(t, whole('debug/tracing'));
  t.is(await findTracefs(paths), paths.debugTracing);
});

test('where there is no tracefs and none can be mounted, that is said', async (t) => {
  const paths = makeTree(t, {});
  await throwsExplained(t, findTracefs(paths), {
    code: 'TracefsMissing',
    says: new RegExp(`not at ${paths.tracing}`),
    cause: /without tracing|as root/,
    action: /\/proc\/filesystems.*container/,
  });
});

test('a tracefs without block events is refused', async (t) => {
  await throwsExplained(t, findTracefs(makeTree(t, { 'tracing/trace_marker': '' })), {
    code: 'BlockEventsMissing',
    says: /no block events/,
    cause: /CONFIG_BLK_DEV_IO_TRACE/,
    action: /distribution kernel/,
  });
});

test('device numbers are those of the kernel, not those of stat', (t) => {
  t.is(kernelDeviceNumber(8, 16), 0x80_0010);
  t.is(kernelDeviceNumber(259, 0xf_ffff), 0x103f_ffff);
});
