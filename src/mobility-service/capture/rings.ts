/**
 * The kernel's trace rings as capture needs them: a small contract between the class that keeps the promises
 * (`trace-capture.ts`, no I/O of its own) and the leaf that talks to tracefs (`tracefs.ts`). Tests and the simulation have
 * their own rings.
 */
import type { CompletionLayout, MarkerLayout, PageLayout, QueueLayout } from './trace-format.ts';

/** What a ring lost since it was made; any growth is a loss. */
export interface RingCounters {
  readonly overrun: number;
  readonly commitOverrun: number;
  readonly droppedEvents: number;
}

export interface TraceRings {
  readonly layouts: {
    readonly page: PageLayout;
    readonly completion: CompletionLayout;
    readonly marker: MarkerLayout;
    /** Only where discards are recorded when they are queued, too. */
    readonly queue?: QueueLayout | undefined;
  };
  /** Processors that have a ring, also those that are switched off. */
  readonly processors: readonly number[];
  /** At least as many pages as the ring of this processor can hold. */
  pagesMax(processor: number): number;
  /** Takes the next page off the ring; answers its length, 0 when the ring is empty. Never waits. */
  readPage(processor: number, target: Uint8Array): number;
  /** Writes a line into the ring of whatever processor this runs on. Throws where tracing does not take it. */
  mark(line: string): void;
  counters(processor: number): RingCounters;
  /** What is not as it was set up (tracing stopped, another filter, smaller rings …), for people; empty: all is well. */
  differences(): string[];
  /** From now on records these devices, which may be others than before; of those that stay nothing is lost. */
  record(deviceNumbers: readonly number[]): void;
  /** Calls `onChange` whenever somebody else writes to a control file, even when it is put back afterwards. */
  watch(onChange: (what: string) => void): void;
  /** Lets go of the rings; the kernel goes on recording. */
  close(): void;
  /** Ends the recording and frees the rings. */
  remove(): void;
}
