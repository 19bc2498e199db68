/** Every limit of the vault, with its arithmetic. */

/** Objects in cache storage: a segment closes at a few hundred MiB; 4 GiB leaves room for one that could not. */
export const cacheObjectBytesMax = 4 * 2 ** 30;
/** A page of a cache listing. */
export const cacheListMax = 1000;
/** Requests the cache endpoint works on at once: 200 process servers' uploads of one 1 MiB buffer each are 200 MiB. */
export const cacheRequestsMax = 200;
/** A sender that moves no byte for this long is gone. */
export const cacheStallMilliseconds = 60_000;

/** Items applied at once: two cores keep two pipelines busy, and more may wait for a disk. */
export const itemsAtOnceMax = 4;
/** How long an idle item waits before it looks for its next manifest; an upload wakes it at once. */
export const pollMilliseconds = 1_000;
/** How long a full or failing vault disk, or an unreachable store, is left alone before the same manifest is tried again. */
export const pauseMilliseconds = 15_000;
/** How often a missing or wrong object is read again before it counts as lost: a flaky read must not cost a resync. */
export const rereadsMax = 2;
/** Digests of a resync go out in parts of this much disk: 64 KiB each, four a second at 1 GB/s. The first one is small, so
 * that the sender begins to compare while the rest is read. */
export const digestFirstAnswerBytes = 64 << 20;
export const digestAnswerBytes = 256 << 20;
/** How often an idle item looks whether its process server stands still: a listing of a folder that is mostly empty. */
export const noticePollMilliseconds = 10_000;
/** An order for a new chain is given again when nothing has come of it for so long. */
export const reorderMilliseconds = 10 * 60_000;
/** Left free on the replica store so that deleting still works on copy-on-write file systems: 64 MiB. */
export const replicaReserveBytes = 64 << 20;

/** Manifests kept in one archive file: 1000 × 1 KiB = 1 MiB, read whole by `verify`. */
export const archiveManifestsPerFile = 1000;

/** Sums of a disk held in memory: 1024 pages × 4 KiB = 4 MiB, which cover 4 GiB of disk. */
export const sumPagesMax = 1024;
/** From here on a hole is punched instead of zeroes written: starting `fallocate` costs about as much as writing 1 MiB. */
export const punchBytesMin = 1 << 20;
/** From here on a piece is written past the page cache: waiting for the disk costs no processor, copying 256 KiB does. */
export const directBytesMin = 256 << 10;

/** A page of items, points or events. */
export const pageMax = 1000;
/** Health events kept an item; older ones go. One a minute for a week is about 10,000. */
export const eventsKeptMax = 10_000;
/** Recovery points looked at by one retention run: 155 of the default, 10 years of dailies, and room. */
export const pointsMax = 10_000;
/** Verified cipher text of a manifest held in memory between check and use, per item; larger segments are read twice. A
 * process server's journal part of 32 MiB never makes more. With `itemsAtOnceMax` that is 132 MiB. */
export const segmentHeldBytesMax = 33 << 20;
/** How often points are thinned: the youngest rule speaks of two hours, so some minutes more or less do not matter. */
export const retentionMilliseconds = 5 * 60_000;
/** Kept free on the volume under cache storage: manifests and digests must still get through when segments do not. */
export const cacheReserveBytes = 256 << 20;
/** How often health is looked at: an RPO threshold is minutes, so half a minute late is soon enough. */
export const healthMilliseconds = 30_000;
/** How long it is remembered what was raised and cleared. */
export const healthChangesKeptDays = 90;
/** How often channels are looked at when nothing wakes the notifier: for those that failed, and for other processes' changes. */
export const notifyMilliseconds = 10_000;
/** Changes in one message; a message lists fifty of them. */
export const notifyBatchMax = 1_000;
/** A channel that fails is tried again after 30 s, 1, 2, 4, 8, 16 and then every 30 minutes. */
export const notifyRetryMilliseconds = 30_000;
export const notifyRetryMillisecondsMax = 30 * 60_000;

/**
 * Of the embedded database: the rows of 10,000 items fill 105 MiB with five points each (bench/vault-api.ts), and points are what
 * grows. Rows that do not fit are read from the disk for every page of a list: with 16 MiB a page took three times as long.
 * Memory is taken as it is filled.
 */
export const databasePoolMebibytes = 256;

/** How often sites are told of failovers that began or were cancelled: a query of an index that is nearly always empty. */
export const fencesMilliseconds = 5_000;
/** Told in one pass; a plan that fails a whole site over has some hundred, and the rest follows with the next pass. */
export const fencesAtOnce = 500;
/** Free on the replica store before a machine is started from it: what a booting system writes of journals and logs in its first
 * minutes, 128 MiB; its disks themselves are clones and take nothing. */
export const failoverFreeBytesMin = 128 << 20;

/** How often failed-over machines are looked at: one `virsh domstate` of 30 ms each. */
export const machinesLookMilliseconds = 15_000;
/** A machine that goes off again and again is started so often within this time; then a person looks. */
export const startsMax = 3;
export const startsKeptMilliseconds = 3_600_000;
