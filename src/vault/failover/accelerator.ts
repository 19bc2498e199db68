/**
 * KVM or emulation? `/dev/kvm` can exist, open and answer on a machine where no stock guest runs: firmware starts, then a
 * kernel is emulated instruction by instruction and crawls without end. So KVM is used only where the processor says it
 * can virtualize and where a real kernel, booted once with nothing behind it, gets as far as missing its root disk.
 */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { LeewardError } from '../../platform/errors.ts';
import { tryRun } from '../../platform/exec.ts';
import type { Files } from '../../platform/files.ts';
import { probeMilliseconds } from './limits.ts';

export interface AcceleratorChoice {
  readonly accelerator: 'kvm' | 'tcg';
  readonly reason: string;
}

export async function chooseAccelerator(
  files: Files,
  wish: 'auto' | 'tcg',
  probeKernel = `/boot/vmlinuz-${release()}`,
  // A file of the kernel's, not of ours: it has no size, so `Files` cannot read it.
  processor = () => readFile('/proc/cpuinfo', 'utf8'),
): Promise<AcceleratorChoice> {
  const slow = (why: string): AcceleratorChoice => ({
    accelerator: 'tcg',
    reason: `${why}; machines run under QEMU's emulation on one processor, several times slower`,
  });
  if (wish === 'tcg') return slow('the settings ask for emulation');
  if ((await files.sizeBytes('/dev/kvm')) === undefined) return slow('this host has no /dev/kvm');
  if (!/\b(vmx|svm)\b/.test(await processor()))
    return slow('/dev/kvm is there, but the processor offers neither vmx nor svm');
  if ((await files.sizeBytes(probeKernel)) === undefined)
    return slow(`KVM could not be tried, because there is no kernel at ${probeKernel}`);
  return (await boots(probeKernel, 'kvm'))
    ? { accelerator: 'kvm', reason: 'KVM booted a kernel' }
    : slow(`KVM did not boot a kernel within ${probeMilliseconds / 1000} s`);
}

/** Does a kernel get through its start? Without a disk the last thing it says is that it has no root. */
export async function boots(kernel: string, accelerator: 'kvm' | 'tcg'): Promise<boolean> {
  try {
    const { stdout } = await tryRun(
      'qemu-system-x86_64',
      [
        ...['-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'qemu64,cx16=off', '-M', 'q35'],
        ...['-m', '256', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
        ...['-kernel', kernel, '-append', 'console=ttyS0 panic=-1 mitigations=off nokaslr'],
      ],
      { timeoutMilliseconds: probeMilliseconds },
    );
    return /Unable to mount root fs|No working init found/.test(stdout);
  } catch (error) {
    if (error instanceof LeewardError) return false;
    throw error;
  }
}
