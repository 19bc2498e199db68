/**
 * What goes wrong in a simulated world. Each fault has a name, so that it can be switched off when a failing seed is
 * narrowed down; `heal` undoes what lasts. The list follows the fault model of docs/simulation.md.
 */
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

export interface Fault {
  /** How often, relative to the others. */
  readonly weight: number;
  strike(world: World): void;
  heal?(world: World): void;
}

function anySite(world: World) {
  return world.random.choose(world.sites);
}

/** For a while of `low` to `high` milliseconds. */
function forAWhile(world: World, low: number, high: number, begin: () => void, end: () => void): void {
  begin();
  world.timeline.after(world.random.range(low, high), () => {
    if (!world.isQuiet) end();
  });
}

const fullDrive = (driveOf: (world: World) => { isFull: boolean }): Fault => ({
  weight: 2,
  strike(world) {
    forAWhile(
      world,
      500,
      40_000,
      () => {
        driveOf(world).isFull = true;
      },
      () => {
        driveOf(world).isFull = false;
      },
    );
  },
  heal(world) {
    driveOf(world).isFull = false;
  },
});

export const faults = {
  'kill-mobility-service': {
    weight: 3,
    strike(world) {
      const { house } = anySite(world);
      house.kill();
      house.startSoon();
    },
  },
  'restart-mobility-service': {
    weight: 2,
    strike(world) {
      const { house } = anySite(world);
      house.stop?.();
      // systemd's patience, and the machine goes on writing until the new one is there.
      world.timeline.after(world.random.range(1000, 20_000), () => {
        house.kill();
        house.startSoon(10, 5000);
      });
    },
  },
  'kill-process-server': {
    weight: 4,
    strike(world) {
      world.processServer.kill();
      world.accept = undefined;
      world.processServer.startSoon();
    },
  },
  'kill-vault': {
    weight: 4,
    strike(world) {
      world.vault.kill();
      world.cache = undefined;
      world.vault.startSoon();
    },
  },
  'power-machine': {
    weight: 2,
    strike(world) {
      const { house, machine } = anySite(world);
      for (const connection of world.connections) if (world.random.chance(0.5)) connection.mute();
      house.kill();
      machine.losePower();
      machine.boot();
      house.startSoon(1000, 30_000);
    },
  },
  'power-process-server': {
    weight: 3,
    strike(world) {
      if (world.random.chance(0.5)) for (const connection of world.connections) connection.mute();
      world.processServer.kill();
      world.accept = undefined;
      world.processServerDrive.losePower();
      world.processServer.startSoon(1000, 30_000);
    },
  },
  'power-vault': {
    weight: 3,
    strike(world) {
      world.vault.kill();
      world.cache = undefined;
      world.vaultDrive.losePower();
      void world.lookAtAllPoints();
      world.vault.startSoon(1000, 30_000);
    },
  },
  'cut-link': {
    weight: 5,
    strike(world) {
      if (world.connections.length > 0) world.random.choose(world.connections).cut();
    },
  },
  'mute-link': {
    weight: 2,
    strike(world) {
      if (world.connections.length > 0) world.random.choose(world.connections).mute();
    },
  },
  'flip-on-wire': {
    weight: 2,
    strike(world) {
      if (world.connections.length > 0) world.random.choose(world.connections).flipNext = true;
    },
  },
  'site-network-down': {
    weight: 1,
    strike(world) {
      for (const connection of world.connections) connection.mute();
      forAWhile(
        world,
        1000,
        60_000,
        () => {
          world.isSiteNetworkDown = true;
        },
        () => {
          world.isSiteNetworkDown = false;
        },
      );
    },
    heal(world) {
      world.isSiteNetworkDown = false;
    },
  },
  'cache-unreachable': {
    weight: 2,
    strike(world) {
      forAWhile(
        world,
        500,
        60_000,
        () => {
          world.cacheFaults.isClosed = true;
        },
        () => {
          world.cacheFaults.isClosed = false;
        },
      );
    },
    heal(world) {
      world.cacheFaults.isClosed = false;
    },
  },
  'cache-road-lossy': {
    weight: 2,
    strike(world) {
      forAWhile(
        world,
        1000,
        30_000,
        () => {
          world.cacheFaults.lossChance = 0.3;
          world.cacheFaults.flipChance = 0.1;
        },
        () => {
          world.cacheFaults.lossChance = 0;
          world.cacheFaults.flipChance = 0;
        },
      );
    },
    heal(world) {
      world.cacheFaults.lossChance = 0;
      world.cacheFaults.flipChance = 0;
    },
  },
  'full-process-server': fullDrive((world) => world.processServerDrive),
  'full-vault': fullDrive((world) => world.vaultDrive),
  'input-output-errors': {
    weight: 1,
    strike(world) {
      const drive = world.random.choose([world.processServerDrive, world.vaultDrive]);
      forAWhile(
        world,
        500,
        10_000,
        () => {
          drive.readErrorChance = world.random.choose([0, 0.02]);
          drive.writeErrorChance = world.random.choose([0, 0.05]);
          drive.syncErrorChance = world.random.choose([0, 0.05]);
        },
        () => healDrive(drive),
      );
    },
    heal(world) {
      healDrive(world.processServerDrive);
      healDrive(world.vaultDrive);
    },
  },
  'slow-drive': {
    weight: 1,
    strike(world) {
      const drive = world.random.choose([world.processServerDrive, world.vaultDrive]);
      forAWhile(
        world,
        1000,
        20_000,
        () => {
          drive.slowness = world.random.choose([10, 100]);
        },
        () => {
          drive.slowness = 1;
        },
      );
    },
    heal(world) {
      world.processServerDrive.slowness = 1;
      world.vaultDrive.slowness = 1;
    },
  },
  'unreadable-disk': {
    weight: 1,
    strike(world) {
      const disk = world.random.choose(anySite(world).machine.disks);
      forAWhile(
        world,
        500,
        10_000,
        () => {
          disk.readErrorChance = 0.2;
        },
        () => {
          disk.readErrorChance = 0;
        },
      );
    },
    heal(world) {
      for (const { machine } of world.sites) for (const disk of machine.disks) disk.readErrorChance = 0;
    },
  },
  'disk-vanish': {
    weight: 2,
    strike(world) {
      const machine = machineWithDisks(world);
      if (!machine) return;
      const index = world.random.between(0, machine.slots.length - 1);
      const disk = machine.detach(index);
      if (!disk) return;
      forAWhile(
        world,
        500,
        60_000,
        () => {
          if (world.random.chance(0.5)) machine.changeElsewhere(disk);
        },
        () => bringBack(world, machine),
      );
    },
    heal(world) {
      for (const { machine } of world.sites) bringBack(world, machine);
    },
  },
  'disk-return': {
    weight: 1,
    strike(world) {
      const machine = machineWithDisks(world);
      if (!machine) return;
      bringBack(world, machine);
      // Away and back between two looks.
      const index = world.random.between(0, machine.slots.length - 1);
      const disk = machine.detach(index)!;
      if (world.random.chance(0.5)) machine.changeElsewhere(disk);
      machine.attach(index, disk);
    },
  },
  'disk-swap': {
    weight: 2,
    strike(world) {
      const site = anySite(world);
      if (!machineWithDisks(world, site) || site.machine.slots.length < 2) return;
      const swap = () => {
        if (world.isQuiet || site.machine.slots.some(({ disk }) => !disk)) return;
        const [one, other] = [site.machine.detach(0)!, site.machine.detach(1)!];
        site.machine.attach(0, other);
        site.machine.attach(1, one);
      };
      if (world.random.chance(0.5)) return swap();
      // As the case was seen: stopped in good order, changed, started.
      const { house } = site;
      house.stop?.();
      world.timeline.after(world.random.range(3000, 15_000), () => {
        house.kill();
        swap();
        house.startSoon(10, 5000);
      });
    },
  },
  'disk-replaced': {
    weight: 1,
    strike(world) {
      const machine = machineWithDisks(world);
      if (machine) machine.replace(world.random.between(0, machine.slots.length - 1));
    },
  },
  'disk-grown': {
    weight: 1,
    strike(world) {
      const machine = machineWithDisks(world);
      const sizeBytes = machine?.slots[0]?.disk?.sizeBytes ?? grownBytesMax;
      if (sizeBytes < grownBytesMax) machine!.grow(0, 4096 * world.random.between(1, 16));
    },
  },
  'ring-overflow': {
    weight: 2,
    strike(world) {
      anySite(world).machine.ring.overflow(world.random.between(1, 50));
    },
  },
  'ring-silent': {
    weight: 1,
    strike(world) {
      anySite(world).machine.ring.silence();
    },
  },
  'clock-jump': {
    weight: 2,
    strike(world) {
      const wall = world.random.choose([world.siteWall, ...world.sites.map((site) => site.machine.wall)]);
      wall.offsetMilliseconds += world.random.choose([-3_600_000, -5000, 5000, 3_600_000]);
    },
  },
  'lost-spool': {
    weight: 0.5,
    strike(world) {
      world.processServer.kill();
      world.accept = undefined;
      for (const path of world.spoolPaths) world.processServerDrive.destroy(path);
      world.processServer.startSoon();
    },
  },
  'bit-rot-in-cache': {
    weight: 1,
    strike(world) {
      const path = world.vaultDrive.flipBit('/cache', (path) => !path.includes('/.incoming/'));
      if (path) world.log.add('world', `one bit of ${path} has flipped`);
    },
  },
  'cloned-machine': {
    weight: 0.5,
    strike(world) {
      world.cloneMachine(anySite(world));
    },
    heal(world) {
      world.endClones();
    },
  },
  'reverted-machine': {
    weight: 0.5,
    strike(world) {
      world.revertMachine(anySite(world));
    },
    heal(world) {
      world.endReverts();
    },
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof faults;

/** So that worlds stay small. */
const grownBytesMax = 160 * 4096;

/** The plain sender's disks never come or go. A snapshot of a machine has the disks that it has. */
function machineWithDisks(world: World, site = anySite(world)): Machine | undefined {
  return world.options.service === 'stand-in' ? undefined : site.machine;
}

/** What is not attached, at a place that is free: mostly its own. */
function bringBack(_world: World, machine: Machine): void {
  for (const [index, slot] of machine.slots.entries()) {
    if (slot.disk) continue;
    const away = machine.disks.filter((disk) => !machine.slots.some((each) => each.disk === disk));
    const disk = away.find((each) => each === machine.disks[index]) ?? away[0];
    if (disk) machine.attach(index, disk);
  }
}

function healDrive(drive: {
  readErrorChance: number;
  writeErrorChance: number;
  syncErrorChance: number;
}): void {
  drive.readErrorChance = 0;
  drive.writeErrorChance = 0;
  drive.syncErrorChance = 0;
}

/** From now on a fault every few seconds, until the world is quiet. */
export function scheduleFaults(world: World): void {
  const random = world.random.fork('faults');
  const allowed = world.options.faults ?? (Object.keys(faults) as FaultName[]);
  const weights = Object.fromEntries(allowed.map((name) => [name, faults[name].weight])) as Record<
    FaultName,
    number
  >;
  if (allowed.length === 0) return;
  // Swarms: each world has its own taste, so that rare combinations come together often somewhere.
  for (const name of allowed)
    if (random.chance(0.4)) weights[name] = random.chance(0.5) ? 0 : weights[name] * 4;
  if (Object.values(weights).every((weight) => weight === 0)) weights[allowed[0]!] = 1;
  const meanMilliseconds = random.choose([1500, 5000, 15_000]);
  const next = () => {
    if (world.isQuiet || world.faultCount >= (world.options.faultsMax ?? Number.POSITIVE_INFINITY)) return;
    const name = random.weighted(weights);
    world.faultCount++;
    world.log.add('world', `fault ${world.faultCount}: ${name}`);
    (faults[name] as Fault).strike(world);
    schedule();
  };
  const schedule = () => world.timeline.after(-Math.log(1 - random.fraction()) * meanMilliseconds, next);
  world.timeline.after(random.range(0, 20_000), next);
}
