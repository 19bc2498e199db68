/** Named maxima of the process server, with their arithmetic. Tests and the simulation pass smaller ones. */
export interface ProcessServerLimits {
  /**
   * A journal part is closed when it is this long: 32 MiB, packed some 100 MiB of a disk, are read into memory whole by
   * refine, so that a manifest is never far behind, and as a segment are held whole by the vault.
   */
  readonly partBytesMax: number;
  /**
   * … or has so many frames: zero ranges are 64 bytes in the journal and some 200 in refine's memory. 65,536 leave 131,072 ranges at
   * most, 26 MB, and one or two frames of a segment's index; by its bytes alone a part would have half a million.
   */
  readonly partFramesMax: number;
  /** … or this long after its first frame, so that little is left to be sent when a bookmark comes, … */
  readonly partMillisecondsMax: number;
  /** … unless it is smaller than this: then it may wait so many times longer. 1 MiB is sent in no time when the bookmark comes. */
  readonly smallPartBytes: number;
  readonly smallPartPatience: number;
  /**
   * Frames are gathered here for one write and one fsync. 2 MiB: packed, some six extents; a disk that syncs in 5 ms
   * then takes 400 MB/s of what is packed.
   */
  readonly batchBytesMax: number;
  /** Batches of all sessions together: 48 × 2 MiB = 96 MiB, however many machines there are. */
  readonly batchesMax: number;
  /** What a sender may have un-acknowledged: three batches (one being written, one gathered, one on the wire) and spare. */
  readonly windowBytes: number;
  /** Parts refined at once, of all items: each holds its part in memory: 2 × 33 MiB. Two cores do no more. */
  readonly refinesMax: number;
  /** … and of small parts: 16 × 2 MiB. They are a few file operations and syncs each, which the disk does best together. */
  readonly smallRefinesMax: number;
  /** Manifests (with their segments) uploaded at once, of all items: enough to fill a link of high latency. */
  readonly uploadsMax: number;
  /** Health events kept for the next manifest; a manifest has at most 1 MiB, an event at most some 8 KiB: 100 fit. */
  readonly healthEventsMax: number;
  /** A copy of a machine may come again and again; the vault gets one event of it in this time. */
  readonly copyToldMilliseconds: number;
  /** How often cache storage is asked for digests while a resync waits for them. */
  readonly digestPollMilliseconds: number;
  /** How often the vault's requests are looked for while a machine is connected: 1,000 machines ask 200 times a second. */
  readonly requestPollMilliseconds: number;
  /** How often cache storage that was unreachable is asked for a sign of life: it ends the ladder's wait. */
  readonly lifeSignMilliseconds: number;
  /** How long a full disk is left alone before the next try. */
  readonly fullDiskMilliseconds: number;
}

export const standardLimits: ProcessServerLimits = {
  partBytesMax: 32 << 20,
  partFramesMax: 65_536,
  partMillisecondsMax: 5_000,
  smallPartBytes: 1 << 20,
  smallPartPatience: 6,
  batchBytesMax: 2 << 20,
  batchesMax: 48,
  windowBytes: 16 << 20,
  refinesMax: 2,
  smallRefinesMax: 16,
  uploadsMax: 8,
  healthEventsMax: 100,
  copyToldMilliseconds: 3_600_000,
  digestPollMilliseconds: 1_000,
  requestPollMilliseconds: 5_000,
  lifeSignMilliseconds: 60_000,
  fullDiskMilliseconds: 2_000,
};
