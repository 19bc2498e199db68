/**
 * Keeps failed-over machines running: one that went off with its host, or crashed, is started again from its own disks; one
 * that somebody switched off is left off; both are told (`FailedOverMachineOff`) for as long as the machine is not running.
 *
 *     failovers ─ no job at work ─▶ hypervisor's word ─▶ planPower ─┬─▶ start again (bounded)
 *                                                                   └─▶ failovers.record.power ─▶ health
 *
 * Not by the hypervisor's own autostart: at that moment the volume with the disks is not mounted and the filters of isolated
 * networks are not set; this vault does both before it looks here. docs/decisions/failed-over-machines-start-again.md.
 */
import { isBusy } from '../../model/protection-state.ts';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import type { FailoverProvider, MachinePower } from '../failover/provider.ts';
import { machinesLookMilliseconds, pageMax, startsKeptMilliseconds, startsMax } from '../limits.ts';
import { type FailoverRecord, listFailovers, type NotedPower, notePower } from '../store/failovers.ts';
import * as items from '../store/protected-items.ts';
import { definitionOf } from '../workflows/failover-steps.ts';

export interface FailedOverMachinesParts {
  readonly database: Database;
  readonly provider: Pick<FailoverProvider, 'power' | 'startAgain'>;
  readonly clock: Clock;
  readonly log: Log;
}

export class FailedOverMachines {
  readonly #parts: FailedOverMachinesParts;

  constructor(parts: FailedOverMachinesParts) {
    this.#parts = parts;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('failed-over-machines-not-looked-at', { error });
    return repeat({ clock, signal, pauseMilliseconds: machinesLookMilliseconds, onFailure }, () =>
      this.pass(),
    );
  }

  async pass(): Promise<void> {
    const { database } = this.#parts;
    for (let after = ''; ; ) {
      const page = await listFailovers(database, { after, limit: pageMax });
      for (const record of page) if (await this.#isSettled(record)) await this.#look(record);
      if (page.length < pageMax) return;
      after = page.at(-1)!.itemId;
    }
  }

  /** While a job works on the item, what becomes of its machine is the job's. */
  async #isSettled({ itemId }: FailoverRecord): Promise<boolean> {
    const item = await items.byItemId(this.#parts.database, itemId);
    return (
      item !== undefined &&
      item.jobId === undefined &&
      !isBusy(item.condition) &&
      item.condition.activeLocation === 'Recovery'
    );
  }

  async #look(record: FailoverRecord): Promise<void> {
    const { provider, clock, log } = this.#parts;
    const { name } = record.machine;
    let seen: MachinePower;
    try {
      seen = await provider.power(name);
    } catch (error) {
      seen = { state: 'unknown', reason: saidBy(error) };
    }
    const plan = planPower(record.power, seen, clock.now());
    await this.#note(record, plan.power);
    if (!plan.isToStart) return;
    // Noted before, so that a start that ends this process counts, too. A job that began meanwhile has the word.
    if (!(await this.#isSettled(record))) return;
    log.warn('failed-over-machine-started-again', {
      itemId: record.itemId,
      machine: name,
      why: plan.power?.why,
    });
    try {
      await provider.startAgain(definitionOf(record));
      await this.#note(record, { ...plan.power!, isOn: true, why: 'it was started again' });
    } catch (error) {
      log.error('failed-over-machine-not-started', { machine: name, error });
      await this.#note(record, { ...plan.power!, why: `it could not be started again: ${saidBy(error)}` });
    }
  }

  async #note(record: FailoverRecord, power: NotedPower | undefined): Promise<void> {
    if (power === undefined || JSON.stringify(power) === JSON.stringify(record.power)) return;
    await notePower(this.#parts.database, record, power);
  }
}

const saidBy = (error: unknown): string =>
  (error instanceof LeewardError ? error.summary : String(error)).slice(0, 300);

/** Pure: what is to be noted (undefined: nothing ever had to be), and whether the machine is to be started now. */
export function planPower(
  before: NotedPower | undefined,
  seen: MachinePower,
  now: number,
): { readonly power: NotedPower | undefined; readonly isToStart: boolean } {
  const at = new Date(now).toISOString();
  const starts = (before?.starts ?? []).filter((start) => now - Date.parse(start) < startsKeptMilliseconds);
  if (seen.state === 'running') {
    if (before === undefined) return { power: undefined, isToStart: false };
    const since = before.isOn ? before.since : at;
    return { power: { isOn: true, why: 'it runs', since, isLeftOff: false, starts }, isToStart: false };
  }
  const since = before?.isOn === false ? before.since : at;
  const off = (why: string, isLeftOff = before?.isLeftOff ?? false): NotedPower => ({
    isOn: false,
    why,
    since,
    isLeftOff,
    starts,
  });
  // Nothing is known of it; it may run.
  if (seen.state === 'unknown')
    return { power: off(`the hypervisor does not say: ${seen.reason}`), isToStart: false };
  if (seen.state === 'paused')
    return { power: off(`the hypervisor has paused it: ${seen.reason}`), isToStart: false };
  if (seen.state === 'off' && (seen.reason === 'shutdown' || seen.reason === 'destroyed'))
    return {
      power: off(
        seen.reason === 'shutdown'
          ? 'it was shut down, from inside or at the hypervisor'
          : 'somebody has switched it off at the hypervisor',
        true,
      ),
      isToStart: false,
    };
  // The host was restarted since: whoever had switched it off has not asked for it.
  if (before?.isLeftOff === true) return { power: off(before.why), isToStart: false };
  const why =
    seen.state === 'missing'
      ? 'the hypervisor does not know it any more'
      : `it went off with its host, or crashed (${seen.reason})`;
  if (starts.length >= startsMax)
    return {
      power: off(`${why}; it was started ${starts.length} times within an hour and did not stay on`),
      isToStart: false,
    };
  return { power: { ...off(why), starts: [...starts, at] }, isToStart: true };
}
