/**
 * A failover provider turns a loan (clones of a recovery point's disks) into a running machine. Implementations:
 * `libvirt.ts`; vSphere and Azure later. One conformance suite in `test/support/`.
 */
export interface MachineDefinition {
  /** Unique at the provider: `leeward-test-<item name>-<short id>`, or `leeward-<item name>-<short id>` for good. */
  readonly name: string;
  readonly cpuCount: number;
  readonly memoryMebibytes: number;
  readonly firmware: 'bios' | 'efi';
  /** In the order of the source machine's disks. */
  readonly disks: readonly { readonly path: string; readonly bus: 'virtio' | 'scsi' }[];
  /** A network that the provider knows; `isolated` makes one that reaches nothing else. */
  readonly network: { readonly mode: 'isolated' | 'existing'; readonly name: string };
  /** Direct kernel boot, where the source machine boots so. */
  readonly directBoot?: { readonly kernel: string; readonly initrd: string; readonly commandLine: string };
}

/** What must be seen before the machine counts as running. */
export type ReadinessCheck =
  | { readonly type: 'console'; readonly text: string }
  | { readonly type: 'port'; readonly port: number }
  | { readonly type: 'power' };

/** What the hosts of a provider could give to a machine now. */
export interface HostRoom {
  /** Free, or given back by the host's own caches when it is needed. */
  readonly memoryMebibytes: number;
  readonly cpuCount: number;
}
/**
 * What the hypervisor says of a machine. `off` with `shutdown` or `destroyed`: somebody, or the machine itself, wanted that;
 * any other reason: it crashed, or its host went.
 */
export type MachinePower =
  | { readonly state: 'running' }
  | { readonly state: 'off' | 'paused' | 'unknown'; readonly reason: string }
  | { readonly state: 'missing' };

export interface FailoverProvider {
  /** Can this provider run machines at all? Throws with cause and action when it cannot; says which accelerator it uses
   * and, when it is not the fast one, why. */
  check(): Promise<{ readonly accelerator: 'kvm' | 'tcg'; readonly reason: string }>;
  /** Asked before anything is started or stopped: a machine that cannot be is refused then, not at its power-on. */
  room(): Promise<HostRoom>;
  /** Defines and starts the machine; idempotent by name. Resolves at power-on. */
  start(machine: MachineDefinition): Promise<void>;
  /** Waits for the check; rejects with `MachineDidNotAnswer` and the console's last lines after the limit, with
   * the signal's reason when it is aborted first. */
  waitUntilReady(
    name: string,
    check: ReadinessCheck,
    limitMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<{ readonly address?: string }>;
  /** PNG of the machine's screen. */
  screenshot(name: string): Promise<Buffer>;
  isRunning(name: string): Promise<boolean>;
  power(name: string): Promise<MachinePower>;
  /**
   * Starts a machine that is off from its own disks, with the firmware's memory that it had; its isolated network is made anew,
   * closed, when that went with the host. Defines it first where it is missing. Idempotent.
   */
  startAgain(machine: MachineDefinition): Promise<void>;
  /** Stops and undefines the machine and removes its network when nobody else uses it. Silent when it is not there. */
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
}
