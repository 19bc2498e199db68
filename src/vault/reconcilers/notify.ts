/**
 * Tells people and programs what was raised and cleared. Each channel has a cursor in the log of changes and is given
 * everything behind it in one message; the cursor moves when the message was taken. So nothing is lost when a mail server
 * is away for a day or the vault dies in between, and the worst that a crash does is to tell something twice.
 *
 *     health_changes ─▶ behind the cursor ─▶ one message ─▶ taken: the cursor moves
 *                                                       └▶ not taken: again after 30 s, 1, 2, 4 … 30 min
 */
import { Bell } from '../../platform/bell.ts';
import type { Clock } from '../../platform/clock.ts';
import { renderError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import {
  notifyBatchMax,
  notifyMilliseconds,
  notifyRetryMilliseconds,
  notifyRetryMillisecondsMax,
} from '../limits.ts';
import type { Channel } from '../notify/channels.ts';
import * as conditions from '../store/conditions.ts';
import * as cursors from '../store/notification-cursors.ts';

export interface NotifierParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked in every pass, since vaults come and go. */
  readonly channels: () => Promise<readonly Channel[]>;
}

export class Notifier {
  readonly #parts: NotifierParts;
  readonly #bell = new Bell();

  constructor(parts: NotifierParts) {
    this.#parts = parts;
  }

  /** Something was raised or cleared. */
  wake(): void {
    this.#bell.ring();
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => {
      if (!signal.aborted) log.warn('notify-failed', { error });
    };
    return repeat({ clock, signal, pauseMilliseconds: notifyMilliseconds, bell: this.#bell, onFailure }, () =>
      this.pass(signal),
    );
  }

  /** Every channel once; one that fails does not hold the others up. */
  async pass(signal: AbortSignal): Promise<void> {
    await Promise.all((await this.#parts.channels()).map((channel) => this.#serve(channel, signal)));
  }

  async #serve(channel: Channel, signal: AbortSignal): Promise<void> {
    const { database, clock, log } = this.#parts;
    let cursor = await cursors.read(database, channel.name);
    if (cursor === undefined) {
      // A channel that is set up today does not tell of last month.
      await cursors.begin(database, channel.name, await conditions.newestChange(database));
      return;
    }
    while (!signal.aborted) {
      if (cursor.retryAt !== undefined && cursor.retryAt > clock.now()) return;
      const changes = await conditions.changesAfter(database, {
        vaultId: channel.vaultId,
        after: cursor.changeId,
        limit: notifyBatchMax,
      });
      if (changes.length === 0) return;
      try {
        await channel.deliver(changes, signal);
      } catch (error) {
        if (signal.aborted) return;
        const wait = Math.min(notifyRetryMilliseconds * 2 ** cursor.failures, notifyRetryMillisecondsMax);
        await cursors.failed(database, channel.name, renderError(error), clock.now() + wait);
        log.warn('notification-failed', { channel: channel.name, failures: cursor.failures + 1, error });
        return;
      }
      const { changeId } = changes.at(-1)!;
      await cursors.delivered(database, channel.name, changeId, clock.now());
      cursor = { changeId, failures: 0, retryAt: undefined };
    }
  }
}
