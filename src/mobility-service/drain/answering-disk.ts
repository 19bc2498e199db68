/**
 * A disk whose reads end: with bytes, with an error, or, when it does not answer, with `DiskSilent`. The others must not wait
 * for one that is stuck in the kernel, where nothing can be taken back: its thread and its memory are lost until it answers.
 *
 *     read ──▶ turn (few of one disk, few of all) ──▶ the device ──┬─ answer ──▶ caller
 *                                                                  └─ none for 10 s ──▶ DiskSilent; no further reads
 *                                                                       … answers later ──▶ memory free, reads again
 *
 * The kernel may still write into the memory of a read that was given up: `untilRelease` says when it may be used again.
 */
import type { Disk } from '../../disk/disk.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { errors } from '../errors.ts';
import { readsOfOneDiskMax, readThreadsMax, silentDiskMilliseconds } from '../limits.ts';

const lateReads = new WeakMap<object, Promise<unknown>>();

/** When memory that a failed read was given may be used again; undefined: at once. */
export function untilRelease(error: unknown): Promise<unknown> | undefined {
  return typeof error === 'object' && error !== null ? lateReads.get(error) : undefined;
}

/** What all disks of the service share: threads that wait for a disk that does not answer. */
export class ReadThreads {
  stuck = 0;

  /** Fewer as more are stuck, so that disks that fail one after the other never have all of them. */
  get ofOneDisk(): number {
    if (this.stuck <= readThreadsMax - 2 * readsOfOneDiskMax) return readsOfOneDiskMax;
    return this.stuck < readThreadsMax ? 1 : 0;
  }
}

interface Reading {
  readonly sinceMonotonic: number;
  readonly done: Promise<unknown>;
  readonly fail: (error: Error) => void;
}

export class AnsweringDisk implements Disk {
  readonly #disk: Disk;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #threads: ReadThreads;
  readonly #readings = new Set<Reading>();
  readonly #closing = new AbortController();
  #waiting: { go: () => void; fail: (error: Error) => void }[] = [];
  #isWatched = false;
  /** Readings that were given up and are not back. */
  #late = 0;

  constructor(disk: Disk, name: string, clock: Clock, threads: ReadThreads) {
    this.#disk = disk;
    this.#name = name;
    this.#clock = clock;
    this.#threads = threads;
  }

  get sizeBytes(): number {
    return this.#disk.sizeBytes;
  }

  get isSilent(): boolean {
    return this.#late > 0;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#turn();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = this.#disk.read(target, offsetBytes);
    const reading: Reading = { sinceMonotonic: this.#clock.monotonic(), done, fail: reject };
    this.#readings.add(reading);
    done.then(resolve, reject).finally(() => {
      if (!this.#readings.delete(reading)) {
        this.#late -= 1;
        this.#threads.stuck -= 1;
      }
      this.#admit();
    });
    if (!this.#isWatched) void this.#watch();
    return promise;
  }

  write(source: Uint8Array, offsetBytes: number): Promise<void> {
    return this.#disk.write(source, offsetBytes);
  }

  flush(): Promise<void> {
    return this.#disk.flush();
  }

  /** Does not wait for reads that were given up: the device is closed when they are back. */
  async close(): Promise<void> {
    this.#closing.abort();
    const closed = this.#disk.close();
    if (this.isSilent) closed.catch(() => {});
    else await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #turn(): Promise<void> {
    if (this.isSilent || this.#threads.ofOneDisk === 0) throw this.#silent();
    if (this.#waiting.length === 0 && this.#readings.size < this.#threads.ofOneDisk) return;
    await new Promise<void>((go, fail) => this.#waiting.push({ go, fail }));
  }

  #admit(): void {
    // One at a time: who is let in counts among the readings a moment later, and its own end lets in the next.
    if (!this.isSilent && this.#readings.size < this.#threads.ofOneDisk) this.#waiting.shift()?.go();
  }

  /** Runs while anything is being read. */
  async #watch(): Promise<void> {
    this.#isWatched = true;
    while (this.#readings.size > 0 && !this.#closing.signal.aborted) {
      await pause(this.#clock, silentDiskMilliseconds / 10, this.#closing.signal);
      const [oldest] = this.#readings;
      if (!oldest || this.#clock.monotonic() - oldest.sinceMonotonic < silentDiskMilliseconds) continue;
      this.#giveUp();
    }
    this.#isWatched = false;
  }

  #giveUp(): void {
    for (const reading of this.#readings) {
      this.#readings.delete(reading);
      this.#late += 1;
      this.#threads.stuck += 1;
      const error = this.#silent();
      lateReads.set(
        error,
        reading.done.catch(() => {}),
      );
      reading.fail(error);
    }
    for (const waiting of this.#waiting.splice(0)) waiting.fail(this.#silent());
  }

  #silent(): Error {
    return errors.DiskSilent(this.#name, silentDiskMilliseconds / 1000);
  }
}

/** A disk that the machine does not have now: a size, and nothing that could be read. */
export function missingDisk(name: string, sizeBytes: number): Disk {
  const refuse = (): Promise<never> =>
    Promise.reject(errors.DiskMissing(name, `${sizeBytes} bytes`, 'nothing can be read of it'));
  return {
    sizeBytes,
    read: refuse,
    write: refuse,
    flush: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}
