/** Health events on their way to the vault: kept until a session takes them, bounded, and not repeated all the time. */
import type { HealthEvent } from '../../model/health.ts';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import { healthEventsMax, healthRepeatMilliseconds } from '../limits.ts';

export class Health {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #raisedAt = new Map<string, number>();
  #waiting: HealthEvent[] = [];
  #latest: HealthEvent | undefined;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  get latest(): HealthEvent | undefined {
    return this.#latest;
  }

  raise(error: unknown, context: Record<string, string | number | boolean> = {}): void {
    const told = error instanceof LeewardError ? error : undefined;
    const event: HealthEvent = {
      code: (told?.code ?? 'UnexpectedError').slice(0, 80),
      severity: told?.severity ?? 'error',
      summary: (told?.summary ?? String(error)).slice(0, 2000),
      possibleCauses: (told?.possibleCauses ?? 'A defect of the mobility service.').slice(0, 2000),
      recommendedAction: (told?.recommendedAction ?? 'Report it with the log.').slice(0, 2000),
      raisedAt: new Date(this.#clock.now()).toISOString(),
      context: { ...definedOf(told?.context ?? {}), ...context },
    };
    const key = `${event.code} ${JSON.stringify(context)}`;
    const now = this.#clock.monotonic();
    const before = this.#raisedAt.get(key);
    if (before !== undefined && now - before < healthRepeatMilliseconds) return;
    this.#raisedAt.set(key, now);
    // Keys are codes and disks, so there are few; a defect that made them many must not fill the memory.
    if (this.#raisedAt.size > healthEventsMax) this.#raisedAt.delete(this.#raisedAt.keys().next().value!);
    this.#latest = event;
    this.#waiting.push(event);
    if (this.#waiting.length > healthEventsMax) this.#waiting.shift();
    this.#log.warn('health', { code: event.code, summary: event.summary, ...event.context });
  }

  /** What was wrong is over: the next time it is told at once. */
  forget(code: string): void {
    for (const key of this.#raisedAt.keys()) if (key.startsWith(`${code} `)) this.#raisedAt.delete(key);
  }

  get first(): HealthEvent | undefined {
    return this.#waiting[0];
  }

  /** The first one is with the session. */
  sent(): void {
    this.#waiting.shift();
  }
}

function definedOf(
  context: Readonly<Record<string, string | number | boolean | undefined>>,
): Record<string, string | number | boolean> {
  return Object.fromEntries(Object.entries(context).filter(([, value]) => value !== undefined)) as Record<
    string,
    string | number | boolean
  >;
}
