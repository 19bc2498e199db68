/**
 * A disk as the byte path sees it: a size, and aligned reads and writes at byte offsets. Implementations: `device.ts`
 * (block device or raw file through O_DIRECT) and, in tests, the simulation's disk that tears and loses writes.
 */

/** The precision of everything: change map bits, extents and digests are multiples of it. */
export const blockBytes = 4096;

/** The longest extent that is read or sent at once. */
export const extentBytesMax = 1 << 20;

export interface Disk extends AsyncDisposable {
  readonly sizeBytes: number;
  /** Fills all of `target`; offset and length must be multiples of the block size (the disk's tail excepted). */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  write(source: Uint8Array, offsetBytes: number): Promise<void>;
  /** Makes all earlier writes durable. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
