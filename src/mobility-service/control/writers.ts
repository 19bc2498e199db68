/**
 * Stops everything on this machine that writes, before it is switched off for a planned failover: the mobility service is then
 * the last one that runs, with the network still up, and can take a bookmark after which no service has synced anything.
 *
 *     systemctl show ─▶ who is ordinary (After=basic.target), who is the network's ─▶ stop sockets, timers, services ─▶ stop
 *     scopes (sessions, containers) ─▶ sync        undo: start what was stopped
 *
 * Not done by the order of units in a shutdown: whoever is to stop after every ordinary service has to start before
 * basic.target, and after the network, to have one while it stops. Where NetworkManager or firewalld is in use that is a
 * circle, which systemd breaks by leaving some unit out of the boot. docs/decisions/last-to-stop.md.
 *
 * What stays: the network and what guards it, D-Bus, systemd's own services, whatever the file systems stand on
 * (these are not After=basic.target), and this service.
 */

import { type RunResult, run, tryRun } from '../../platform/exec.ts';
import type { Log } from '../../platform/log.ts';
import { errors } from '../errors.ts';
import { listUnitsMilliseconds, stopWritersMilliseconds, syncMilliseconds, unitsMax } from '../limits.ts';

export interface StoppedWriters {
  /** Starts them again: the machine stays up after all. */
  undo(): Promise<void>;
}

export interface Unit {
  readonly id: string;
  readonly activeState: string;
  readonly after: readonly string[];
}

const ownUnit = 'leeward-mobility.service';
/** Each is kept up with all that is ordered before it. */
const networkTargets = [
  'network-pre.target',
  'network.target',
  'network-online.target',
  'remote-fs-pre.target',
];
/** Of services that a machine needs for going down in good order, and that write nothing which anybody synced. */
const kept = /^(systemd-|dbus|polkit|init\.scope$|wpa_supplicant|dhcp|ifup@|emergency|rescue)/;

/** From what `systemctl show` says of all units, two lists in the order in which they are to be stopped. */
export function writersOf(all: readonly Unit[]): { readonly units: string[]; readonly scopes: string[] } {
  const network = new Set(
    all.filter(({ id }) => networkTargets.includes(id)).flatMap(({ after }) => [...after]),
  );
  const stays = ({ id }: Unit) => id === ownUnit || kept.test(id) || network.has(id);
  const runs = all.filter(
    (unit) => ['active', 'activating', 'reloading'].includes(unit.activeState) && !stays(unit),
  );
  const isOf = (type: string) => (unit: Unit) => unit.id.endsWith(`.${type}`);
  return {
    units: [
      // Whatever would start a service that has just been stopped.
      ...runs
        .filter((unit) => ['socket', 'timer', 'path'].some((type) => isOf(type)(unit)))
        .filter(({ after }) => after.includes('sysinit.target')),
      // Those that have exited (`RemainAfterExit`), too: what they do when they are stopped may be to write.
      ...runs.filter(isOf('service')).filter(({ after }) => after.includes('basic.target')),
    ].map(({ id }) => id),
    // After the services, because those stop their own containers in good order.
    scopes: runs.filter(isOf('scope')).map(({ id }) => id),
  };
}

/** From `systemctl show --property=…`: paragraphs of `Key=value`. */
export function readUnits(text: string): Unit[] {
  return text.split(/\n\n+/).flatMap((paragraph) => {
    const values = new Map(
      paragraph
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const id = values.get('Id');
    if (id === undefined) return [];
    return [
      {
        id,
        activeState: values.get('ActiveState') ?? '',
        after: (values.get('After') ?? '').split(' ').filter((name) => name !== ''),
      },
    ];
  });
}

/** Throws `ServicesNotStopped`; then what was stopped has been started again. */
export async function stopWriters(log: Log, systemctl = 'systemctl'): Promise<StoppedWriters> {
  const listed = await run(systemctl, ['show', '--no-pager', '--property=Id,ActiveState,After', '*'], {
    timeoutMilliseconds: listUnitsMilliseconds,
  });
  const { units, scopes } = writersOf(readUnits(listed));
  if (units.length + scopes.length > unitsMax)
    throw errors.ServicesNotStopped(`there are ${units.length + scopes.length}`);
  const undo = async () => {
    if (units.length === 0) return;
    await tryRun(systemctl, ['start', '--no-block', ...units], {
      timeoutMilliseconds: listUnitsMilliseconds,
    });
    log.warn('writers-started-again', { count: units.length });
  };
  log.warn('stopping-writers', { units: units.join(' '), scopes: scopes.join(' ') });
  try {
    for (const names of [units, scopes]) if (names.length > 0) await stop(systemctl, names);
    await run('sync', [], { timeoutMilliseconds: syncMilliseconds });
  } catch (error) {
    await undo();
    throw error;
  }
  return { undo };
}

async function stop(systemctl: string, units: readonly string[]): Promise<void> {
  let result: RunResult;
  try {
    result = await tryRun(systemctl, ['stop', ...units], { timeoutMilliseconds: stopWritersMilliseconds });
  } catch (error) {
    throw errors.ServicesNotStopped(error instanceof Error ? error.message : String(error));
  }
  if (result.exitCode === 0) return;
  // A unit that refuses to be stopped by hand still runs; one whose stop failed, or that went by itself, does not.
  const states = await tryRun(systemctl, ['is-active', ...units], {
    timeoutMilliseconds: listUnitsMilliseconds,
  });
  const lines = states.stdout.split('\n');
  const left = units.filter((_, index) =>
    ['active', 'reloading', 'deactivating'].includes(lines[index]?.trim() ?? ''),
  );
  if (left.length > 0)
    throw errors.ServicesNotStopped(`${left.slice(0, 5).join(', ')}: ${result.stderr.trim()}`);
}
