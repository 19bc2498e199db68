/** What can go wrong while a machine is made from a recovery point, with cause and action. */
import { catalogue } from '../../platform/errors.ts';

export const errors = catalogue({
  HypervisorUnreachable: (uri: string, cause?: unknown) => ({
    summary: `libvirt does not answer at ${uri}`,
    possibleCauses: 'libvirtd is not running there, its socket is elsewhere, or virsh is not installed.',
    recommendedAction:
      'Start libvirtd, or correct the connection URI in the settings of the failover provider.',
    retry: 'transient' as const,
    context: { uri },
    cause,
  }),
  HypervisorCannotRunMachines: (uri: string, why: string) => ({
    summary: `libvirt at ${uri} cannot run x86-64 machines: ${why}`,
    possibleCauses: 'QEMU is not installed on that host.',
    recommendedAction: 'Install QEMU (package qemu-system-x86) there.',
    context: { uri },
  }),
  MachineDefinitionInvalid: (what: string) => ({
    summary: what,
    possibleCauses: 'The name, a path or a number is not one that a hypervisor accepts.',
    recommendedAction: 'Correct it and try again.',
  }),
  MachineNotStarted: (name: string, cause?: unknown) => ({
    summary: `the machine ${name} could not be started`,
    possibleCauses: 'Not enough memory, a disk that cannot be opened, or what libvirt says below.',
    recommendedAction: 'Mend what libvirt names and start the test failover again.',
    context: { name },
    cause,
  }),
  MachineDidNotAnswer: (name: string, awaited: string, limitSeconds: number, lastLines: string) => ({
    summary: `the machine ${name} was powered on but did not show ${awaited} within ${limitSeconds} s; its console ended with:\n${lastLines === '' ? '(nothing)' : lastLines}`,
    possibleCauses:
      'It does not boot from this recovery point, boots more slowly than the limit allows, or writes to another console.',
    recommendedAction: 'Look at its last lines, raise the limit, or try an earlier recovery point.',
    context: { name, limitSeconds },
  }),
  MachineGone: (name: string) => ({
    summary: `the machine ${name} is not running any more`,
    possibleCauses: 'It was switched off from inside, it crashed, or somebody removed it.',
    recommendedAction: 'Look at its console and start the test failover again.',
    context: { name },
  }),
  NetworkUnknown: (name: string) => ({
    summary: `the hypervisor has no active network ${name}`,
    possibleCauses: 'The name is misspelt, or the network is not started.',
    recommendedAction: 'Choose one of: virsh net-list.',
    context: { name },
  }),
  NetworkNotIsolated: (name: string, cause?: unknown) => ({
    summary: `the network ${name} could not be closed off`,
    possibleCauses: 'nft is not installed, or the vault may not change packet filters.',
    recommendedAction: 'Install nftables and run the vault as root. No machine was started.',
    severity: 'critical' as const,
    context: { name },
    cause,
  }),
  ScreenshotFailed: (name: string, cause?: unknown) => ({
    summary: `the screen of ${name} could not be captured`,
    possibleCauses: 'The machine has no display, or it is not running any more.',
    recommendedAction: 'Look at the machine with: virsh console.',
    retry: 'transient' as const,
    context: { name },
    cause,
  }),
});
