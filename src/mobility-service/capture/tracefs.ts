/**
 * The leaf that talks to tracefs: finds or mounts it, makes one instance of our own (`leeward-<name>`: other users of
 * tracing are not disturbed) or adopts the one that a clean stop left recording, and reads its rings without waiting.
 *
 *     instances/leeward-<name>/
 *       events/block/block_rq_complete/filter   (dev == 8388608 || …) && !(rwbs ~ "R*")
 *       options/overwrite                       0: a full ring drops and counts what is new, and keeps what it has
 *       per_cpu/cpu<n>/trace_pipe_raw           pages, see ring-page.ts
 *       per_cpu/cpu<n>/stats                    what was lost
 *       trace_marker                            our marks for the barrier
 *
 * It uses `node:fs` itself, and synchronously: reads of tracefs never wait (O_NONBLOCK), take about 3 µs a page, and a
 * barrier under a frozen file system cannot afford the thread pool, which others' blocked writes may fill.
 */
import {
  closeSync,
  constants,
  existsSync,
  type FSWatcher,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../../platform/errors.ts';
import { run } from '../../platform/exec.ts';
import { captureErrors } from './errors.ts';
import type { RingCounters, TraceRings } from './rings.ts';
import {
  completionLayout,
  markerLayout,
  parseEventFormat,
  parseHeaderPage,
  queueLayout,
} from './trace-format.ts';

export interface TracefsPaths {
  /** Where tracefs is or should be. */
  readonly tracing: string;
  /** Where kernels before 4.1 have it. */
  readonly debugTracing: string;
  readonly lockdown: string;
}

export const systemTracefsPaths: TracefsPaths = {
  tracing: '/sys/kernel/tracing',
  debugTracing: '/sys/kernel/debug/tracing',
  lockdown: '/sys/kernel/security/lockdown',
};

/** The folder of tracefs; mounts it when nothing is there. Throws what keeps this machine from being protected. */
export async function findTracefs(paths: TracefsPaths = systemTracefsPaths): Promise<string> {
  if (readText(paths.lockdown)?.includes('[confidentiality]')) throw captureErrors.KernelLockedDown();
  if (endianness() !== 'LE')
    throw captureErrors.TraceFormatUnknown('byte order', 'the machine is big-endian');
  const isThere = (path: string): boolean => existsSync(join(path, 'trace_marker'));
  let found = [paths.tracing, paths.debugTracing].find(isThere);
  if (found === undefined) {
    try {
      await run('mount', ['-t', 'tracefs', 'tracefs', paths.tracing], { timeoutMilliseconds: 10_000 });
    } catch (cause) {
      throw captureErrors.TracefsMissing(paths.tracing, cause);
    }
    if (!isThere(paths.tracing)) throw captureErrors.TracefsMissing(paths.tracing);
    found = paths.tracing;
  }
  const format = join(found, 'events/block/block_rq_complete/format');
  if (!existsSync(format)) throw captureErrors.BlockEventsMissing(format);
  return found;
}

export interface InstanceOptions {
  /** From `findTracefs`. */
  readonly tracefs: string;
  /** The instance becomes `leeward-<name>`. */
  readonly name: string;
  /** What to record, in the kernel's encoding (`kernelDeviceNumber`). */
  readonly deviceNumbers: readonly number[];
  /** Of each processor's ring. */
  readonly ringBytes: number;
  /** Records discards when they are queued, too, of all devices: on newer kernels they name the partition. */
  readonly withQueuedDiscards?: boolean;
}

/** `dev_t` as the kernel has it inside and in its events: not what `stat` answers. */
export function kernelDeviceNumber(major: number, minor: number): number {
  return ((major << 20) | minor) >>> 0;
}

export function instanceExists(options: Pick<InstanceOptions, 'tracefs' | 'name'>): boolean {
  return existsSync(instancePath(options));
}

/** Removes what an earlier run left; silent when there is nothing. */
export function removeInstance(options: Pick<InstanceOptions, 'tracefs' | 'name'>): void {
  try {
    rmdirSync(instancePath(options));
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT'))
      throw captureErrors.TraceInstanceFailed(instancePath(options), 'it cannot be removed', cause);
  }
}

/** A new instance that records from now on. An old one of that name is removed first. */
export function makeInstance(options: InstanceOptions): TraceRings {
  removeInstance(options);
  const path = instancePath(options);
  try {
    mkdirSync(path);
    const set = (file: string, value: string): void => writeFileSync(join(path, file), value);
    set('trace_clock', 'local');
    set('options/overwrite', '0');
    set('buffer_size_kb', String(Math.ceil(options.ringBytes / 1024)));
    setFilter(path, options.deviceNumbers);
    if (options.withQueuedDiscards) set(queueFilterFile, queueFilter);
    set('tracing_on', '1');
    // First the queue: a discard that is seen to complete must have been seen before.
    if (options.withQueuedDiscards) set(queueEnableFile, '1');
    set(enableFile, '1');
  } catch (cause) {
    try {
      rmdirSync(path);
    } catch {
      // It was not made, or is removed by the next run; the cause is what counts.
    }
    throw captureErrors.TraceInstanceFailed(
      path,
      cause instanceof Error ? cause.message : String(cause),
      cause,
    );
  }
  return new TracefsRings(path, options);
}

/** The instance that is there, as it is; `undefined` when there is none. The caller looks at `differences()`. */
export function adoptInstance(options: InstanceOptions): TraceRings | undefined {
  return instanceExists(options) ? new TracefsRings(instancePath(options), options) : undefined;
}

const filterFile = 'events/block/block_rq_complete/filter';
const enableFile = 'events/block/block_rq_complete/enable';
const queueFilterFile = 'events/block/block_bio_queue/filter';
const queueEnableFile = 'events/block/block_bio_queue/enable';
const queueFilter = 'rwbs ~ "D*"';

/** Whoever writes one of these may make us lose events. */
const controlFiles = [
  'tracing_on',
  'trace',
  'trace_options',
  'options/overwrite',
  'options/markers',
  'buffer_size_kb',
  'buffer_subbuf_size_kb',
  'tracing_cpumask',
  'trace_clock',
  'set_event',
  'set_event_pid',
  'free_buffer',
  'current_tracer',
  'events/enable',
  'events/block/enable',
  'events/block/filter',
  filterFile,
  enableFile,
  queueFilterFile,
  queueEnableFile,
];

class TracefsRings implements TraceRings {
  readonly layouts: TraceRings['layouts'];
  readonly processors: readonly number[];
  readonly #path: string;
  #expected: InstanceOptions;
  readonly #rings = new Map<number, number>();
  readonly #marker: number;
  readonly #watchers: FSWatcher[] = [];
  readonly #cpumask: string | undefined;
  #closed = false;

  constructor(path: string, expected: InstanceOptions) {
    this.#path = path;
    this.#expected = expected;
    const read = (file: string): string => readFileSync(join(path, file), 'utf8');
    // Sub-buffers have their size by instance (6.8); kernels before that have one header_page for all.
    const header =
      readText(join(path, 'events/header_page')) ?? readText(join(expected.tracefs, 'events/header_page'));
    const formats = existsSync(join(path, 'events/ftrace')) ? path : expected.tracefs;
    this.layouts = {
      page: parseHeaderPage(header ?? ''),
      completion: completionLayout(parseEventFormat(read('events/block/block_rq_complete/format'))),
      marker: markerLayout(
        parseEventFormat(readFileSync(join(formats, 'events/ftrace/print/format'), 'utf8')),
      ),
      queue: expected.withQueuedDiscards
        ? queueLayout(parseEventFormat(read('events/block/block_bio_queue/format')))
        : undefined,
    };
    this.processors = readdirSync(join(path, 'per_cpu'))
      .map((name) => Number(/^cpu(\d+)$/.exec(name)?.[1] ?? -1))
      .filter((processor) => processor >= 0)
      .sort((a, b) => a - b);
    this.#cpumask = readText(join(path, 'tracing_cpumask'));
    try {
      for (const processor of this.processors)
        this.#rings.set(
          processor,
          openSync(
            join(path, `per_cpu/cpu${processor}/trace_pipe_raw`),
            constants.O_RDONLY | constants.O_NONBLOCK,
          ),
        );
      this.#marker = openSync(join(path, 'trace_marker'), constants.O_WRONLY);
    } catch (cause) {
      for (const descriptor of this.#rings.values()) closeSync(descriptor);
      throw captureErrors.TraceInstanceFailed(path, 'its rings cannot be opened', cause);
    }
  }

  pagesMax(processor: number): number {
    const { pageBytes, dataOffset } = this.layouts.page;
    const kib = Number.parseInt(
      readText(join(this.#path, `per_cpu/cpu${processor}/buffer_size_kb`)) ?? '',
      10,
    );
    // One page more belongs to the reader; one for rounding.
    return Math.ceil(((Number.isNaN(kib) ? 0 : kib) * 1024) / (pageBytes - dataOffset)) + 2;
  }

  readPage(processor: number, target: Uint8Array): number {
    const descriptor = this.#rings.get(processor);
    if (descriptor === undefined || this.#closed) return 0;
    // An empty ring is the usual answer and comes as an exception, whose stack trace would cost more than all the rest.
    const depth = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      return readSync(descriptor, target, 0, target.byteLength, null);
    } catch (error) {
      if (hasCode(error, 'EAGAIN', 'EINTR')) return 0;
      throw error;
    } finally {
      Error.stackTraceLimit = depth;
    }
  }

  mark(line: string): void {
    writeSync(this.#marker, `${line}\n`);
  }

  counters(processor: number): RingCounters {
    const text = readFileSync(join(this.#path, `per_cpu/cpu${processor}/stats`), 'utf8');
    const value = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return {
      overrun: value('overrun'),
      commitOverrun: value('commit overrun'),
      droppedEvents: value('dropped events'),
    };
  }

  differences(): string[] {
    const found: string[] = [];
    const differs = (file: string, isRight: (value: string) => boolean): void => {
      const value = readText(join(this.#path, file))?.trim();
      if (value === undefined || !isRight(value)) found.push(`${file} is ${value ?? 'gone'}`);
    };
    differs('tracing_on', (value) => value === '1');
    differs(enableFile, (value) => value.startsWith('1'));
    if (this.#expected.withQueuedDiscards) {
      differs(queueEnableFile, (value) => value.startsWith('1'));
      differs(queueFilterFile, (value) => value === queueFilter);
    }
    differs('options/overwrite', (value) => value === '0');
    differs(
      filterFile,
      (value) =>
        value === filterOf(this.#expected.deviceNumbers, true) ||
        value === filterOf(this.#expected.deviceNumbers, false),
    );
    // The kernel rounds up to whole pages; `X` (rings of different sizes) is not what was set up either.
    differs('buffer_size_kb', (value) => Number.parseInt(value, 10) * 1024 >= this.#expected.ringBytes);
    if (this.#cpumask !== undefined) differs('tracing_cpumask', (value) => value === this.#cpumask!.trim());
    if (existsSync(join(this.#path, 'set_event_pid')))
      differs('set_event_pid', (value) => value === '' || value === 'no pid');
    return found;
  }

  record(deviceNumbers: readonly number[]): void {
    const { deviceNumbers: before } = this.#expected;
    if (before.length === deviceNumbers.length && before.every((each) => deviceNumbers.includes(each))) {
      return;
    }
    setFilter(this.#path, deviceNumbers);
    this.#expected = { ...this.#expected, deviceNumbers };
  }

  watch(onChange: (what: string) => void): void {
    for (const file of controlFiles) {
      const path = join(this.#path, file);
      if (!existsSync(path)) continue;
      const watcher = watch(path, { persistent: false }, () =>
        onChange(`${file} was written by somebody else`),
      );
      watcher.on('error', (error) => onChange(`${file} can no longer be watched: ${error.message}`));
      this.#watchers.push(watcher);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.close();
    for (const descriptor of this.#rings.values()) closeSync(descriptor);
    closeSync(this.#marker);
  }

  remove(): void {
    this.close();
    removeInstance(this.#expected);
  }
}

function setFilter(path: string, deviceNumbers: readonly number[]): void {
  const file = join(path, filterFile);
  try {
    writeFileSync(file, filterOf(deviceNumbers, true));
  } catch {
    // Kernels before 3.18 have no negation; there the reads come along.
    writeFileSync(file, filterOf(deviceNumbers, false));
  }
}

function filterOf(deviceNumbers: readonly number[], withoutReads: boolean): string {
  const devices = deviceNumbers.map((number) => `dev == ${number}`).join(' || ');
  return withoutReads ? `(${devices}) && !(rwbs ~ "R*")` : devices;
}

function instancePath(options: Pick<InstanceOptions, 'tracefs' | 'name'>): string {
  return join(options.tracefs, 'instances', `leeward-${options.name}`);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
