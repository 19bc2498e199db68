/**
 * What happened in a simulated world, line by line, and the hash of it all: two runs of one seed must have the same hash.
 */
import { createHash } from 'node:crypto';
import type { Log, LogFields } from '../../src/platform/log.ts';
import type { Timeline } from '../support/simulated/clock.ts';

/** The last lines are kept for failures: enough to see what led to one. */
const linesKept = 4000;

export class EventLog {
  readonly #timeline: Timeline;
  readonly #print: ((line: string) => void) | undefined;
  readonly #hash = createHash('sha256');
  readonly lines: string[] = [];
  count = 0;

  constructor(timeline: Timeline, print?: (line: string) => void) {
    this.#timeline = timeline;
    this.#print = print;
  }

  add(who: string, what: string): void {
    const seconds = (this.#timeline.nowMilliseconds / 1000).toFixed(3).padStart(9);
    const line = `${seconds} s  #${String(this.#timeline.moment).padEnd(7)} ${who.padEnd(16)} ${what}`;
    this.count++;
    this.#hash.update(line).update('\n');
    this.lines.push(line);
    if (this.lines.length > 2 * linesKept) this.lines.splice(0, linesKept);
    this.#print?.(line);
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** The log of one house. */
  for(who: string): Log {
    const write = (level: string) => (event: string, fields?: LogFields) =>
      this.add(who, `${level}${event}${fields ? ` ${fieldsText(fields)}` : ''}`);
    return {
      debug: write('· '),
      info: write(''),
      warn: write('! '),
      error: write('!! '),
      with: () => this.for(who),
    };
  }
}

function fieldsText(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${valueText(value)}`)
    .join(' ');
}

function valueText(value: unknown): string {
  if (value instanceof Error)
    return `[${value.message}${value.cause ? ` because ${valueText(value.cause)}` : ''}]`;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}
