/**
 * Page-aligned memory. O_DIRECT moves bytes between a disk and memory that begins at a page boundary; Node's own buffers
 * begin anywhere, and JavaScript cannot ask for a buffer's address. The memory of a WebAssembly module begins at a page
 * by definition, so an arena is one such memory, lent in pages.
 *
 * It promises: never more than its limit (whoever asks for more than is free waits, first come first served), and memory
 * that is touched only when it is used. A loan is `using`: forgotten loans would starve everybody else.
 */
import { strict as assert } from 'node:assert';

export const pageBytes = 4096;

/** TypeScript declares it for browsers only. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

/** One page of a WebAssembly memory. */
const wasmPageBytes = 65_536;

/** Every arena's memory, so that `isPageAligned` can know it again. */
const memories = new WeakSet<ArrayBufferLike>();

export interface Loan extends Disposable {
  /** Its content is whatever the last borrower left. */
  readonly bytes: Uint8Array;
  /** Gives it back; safe to call twice. `bytes` must not be touched afterwards. */
  release(): void;
}

interface Gap {
  offset: number;
  length: number;
}

export class Arena {
  readonly limitBytes: number;
  #buffer: ArrayBuffer;
  /** Up to here it has been lent; the lowest free memory goes first. */
  #touchedBytes = 0;
  /** Free memory in order of offset; neighbours are always joined. */
  readonly #gaps: Gap[];
  readonly #waiting: { length: number; give: (loan: Loan) => void }[] = [];

  constructor(limitBytes: number) {
    const pages = Math.ceil(limitBytes / wasmPageBytes);
    assert(pages >= 1 && pages <= 65_536, 'an arena has from 64 KiB to 4 GiB');
    this.limitBytes = pages * wasmPageBytes;
    this.#buffer = memoryOf(this.limitBytes);
    this.#gaps = [{ offset: 0, length: this.limitBytes }];
  }

  get freeBytes(): number {
    return this.#gaps.reduce((sum, gap) => sum + gap.length, 0);
  }

  /** Waits until `lengthBytes` in one piece are free. More than the arena has is a programmer's error. */
  async borrow(lengthBytes: number): Promise<Loan> {
    assert(Number.isSafeInteger(lengthBytes) && lengthBytes > 0 && lengthBytes <= this.limitBytes);
    // Nobody overtakes: small loans must not starve a large one.
    const loan = this.#waiting.length === 0 ? this.#lend(lengthBytes) : undefined;
    return loan ?? new Promise((give) => this.#waiting.push({ length: lengthBytes, give }));
  }

  /** What `borrow` would lend at once; undefined where it would wait. */
  tryBorrow(lengthBytes: number): Loan | undefined {
    return this.#waiting.length === 0 ? this.#lend(lengthBytes) : undefined;
  }

  /**
   * Memory once touched is kept by the process. Where more than `keptBytes` was ever lent and nothing is lent now, it is
   * exchanged for memory that nobody has touched, and the collector gives back the old one.
   */
  renewOver(keptBytes: number): boolean {
    const [gap] = this.#gaps;
    const isIdle = this.#waiting.length === 0 && gap !== undefined && gap.length === this.limitBytes;
    if (!isIdle || this.#touchedBytes <= keptBytes) return false;
    this.#buffer = memoryOf(this.limitBytes);
    this.#touchedBytes = 0;
    return true;
  }

  #lend(lengthBytes: number): Loan | undefined {
    const length = Math.ceil(lengthBytes / pageBytes) * pageBytes;
    const index = this.#gaps.findIndex((gap) => gap.length >= length);
    const gap = this.#gaps[index];
    if (!gap) return undefined;
    const offset = gap.offset;
    this.#touchedBytes = Math.max(this.#touchedBytes, offset + length);
    gap.offset += length;
    gap.length -= length;
    if (gap.length === 0) this.#gaps.splice(index, 1);
    let lent = true;
    const release = (): void => {
      if (!lent) return;
      lent = false;
      this.#takeBack(offset, length);
    };
    return {
      bytes: new Uint8Array(this.#buffer, offset, lengthBytes),
      release,
      [Symbol.dispose]: release,
    };
  }

  #takeBack(offset: number, length: number): void {
    const found = this.#gaps.findIndex((gap) => gap.offset > offset);
    const index = found < 0 ? this.#gaps.length : found;
    const before = this.#gaps[index - 1];
    const after = this.#gaps[index];
    const joinsBefore = before !== undefined && before.offset + before.length === offset;
    const joinsAfter = after !== undefined && offset + length === after.offset;
    if (joinsBefore && joinsAfter) {
      before.length += length + after.length;
      this.#gaps.splice(index, 1);
    } else if (joinsBefore) before.length += length;
    else if (joinsAfter) {
      after.offset = offset;
      after.length += length;
    } else this.#gaps.splice(index, 0, { offset, length });

    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const loan = this.#lend(next.length);
      if (!loan) return;
      this.#waiting.shift();
      next.give(loan);
    }
  }
}

function memoryOf(lengthBytes: number): ArrayBuffer {
  const pages = lengthBytes / wasmPageBytes;
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
  memories.add(buffer);
  return buffer;
}

/** Whether O_DIRECT can use it as it is. Only memory of an arena can be known to be aligned. */
export function isPageAligned(bytes: Uint8Array): boolean {
  return memories.has(bytes.buffer) && bytes.byteOffset % pageBytes === 0;
}
