/**
 * Machines that are hard to come by (LVM, md, multipath, persistent memory), as trees of `/sys` and `/proc` in a temporary
 * folder, with just the files and links that a real one was seen to have.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Machine } from '../../src/mobility-service/capture/inspect.ts';

export interface FakeDevice {
  /** `8:1` */
  readonly device: string;
  /** The disk it is a partition of. */
  readonly partitionOf?: string;
  /** What it is built on. */
  readonly on?: readonly string[];
  readonly sizeBytes?: number;
  readonly startBytes?: number;
  /** Further files in its folder; a text each. */
  readonly files?: Readonly<Record<string, string>>;
  /** A folder of multi-queue hardware queues: takes requests. Default: whole disks have one. */
  readonly hasQueues?: boolean;
}

export interface FakeMachine {
  readonly devices: Readonly<Record<string, FakeDevice>>;
  /** Lines of `/proc/self/mountinfo`. */
  readonly mounts?: readonly string[];
  /** Lines of `/proc/swaps` below its heading. */
  readonly swaps?: readonly string[];
  /** Names of devices by btrfs id. */
  readonly btrfs?: Readonly<Record<string, readonly string[]>>;
  /** Further names below /dev, and what they lead to. */
  readonly links?: Readonly<Record<string, string>>;
}

export function makeMachine(t: ExecutionContext<unknown>, fake: FakeMachine): Machine {
  const root = mkdtempSync(join(tmpdir(), 'leeward-machine-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const sys = join(root, 'sys');
  const proc = join(root, 'proc');
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${text}\n`);
  };
  const link = (path: string, target: string): void => {
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(relative(dirname(path), target), path);
  };
  const folderOf = (name: string): string => {
    const { partitionOf, on } = fake.devices[name]!;
    if (partitionOf !== undefined) return join(folderOf(partitionOf), name);
    return join(sys, on ? 'devices/virtual/block' : 'devices/pci0000:00/block', name);
  };
  for (const [name, each] of Object.entries(fake.devices)) {
    const folder = folderOf(name);
    write(join(folder, 'dev'), each.device);
    write(join(folder, 'size'), String((each.sizeBytes ?? 1 << 30) / 512));
    if (each.partitionOf !== undefined) {
      write(join(folder, 'partition'), /\d+$/.exec(name)![0]);
      write(join(folder, 'start'), String((each.startBytes ?? 1 << 20) / 512));
    } else write(join(folder, 'queue/max_discard_segments'), '1');
    mkdirSync(join(folder, 'holders'), { recursive: true });
    if (each.hasQueues ?? (each.partitionOf === undefined && each.on === undefined))
      mkdirSync(join(folder, 'mq/0'), { recursive: true });
    for (const [file, text] of Object.entries(each.files ?? {})) write(join(folder, file), text);
    link(join(sys, 'dev/block', each.device), folder);
    link(join(sys, 'class/block', name), folder);
    for (const below of each.on ?? []) {
      link(join(folder, 'slaves', below), folderOf(below));
      link(join(folderOf(below), 'holders', name), folder);
    }
  }
  for (const [id, members] of Object.entries(fake.btrfs ?? {}))
    for (const member of members)
      link(join(sys, 'fs/btrfs', id, 'devices', member), join(sys, 'class/block', member));
  write(join(proc, 'self/mountinfo'), (fake.mounts ?? []).join('\n'));
  write(
    join(proc, 'swaps'),
    ['Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority', ...(fake.swaps ?? [])].join('\n'),
  );
  return {
    sys,
    proc,
    deviceOf: async (path) => {
      const name = path.replace(/^\/dev\//, '');
      return (
        fake.devices[fake.links?.[name] ?? name]?.device ?? (path.startsWith('/dev/') ? undefined : 'other')
      );
    },
  };
}
