/**
 * Every bound of the mobility service, with its arithmetic. The whole service stays under 100 MB resident on a
 * customer's machine. Packed, at rest: 47 MB of Node's own code, which the kernel can drop, 4 MB of C libraries, 10 MB of
 * V8's heap, 8 MB of the C allocator's: 70 MB. Under load: 4 MiB of read buffers, 4 MiB of them encrypted in the socket,
 * and up to 10 MB of garbage between two collections (small payloads joined with their headers): 88 MB. The rest that is
 * read under a freeze shares the read buffers' memory and adds 14 MiB once it was large, but is sent from there one extent
 * at a time: 100 MB. Change maps are extra: at most 19 MiB, whatever is written to
 * however many disks (`mapBitmapsMax`), mostly little; of the trace rings the service maps nothing.
 */
import { extentBytesMax } from '../disk/disk.ts';

/** Four extents under way: one read from the disk, one hashed or cut, one encrypted, one in the socket. */
export const readAheadBytes = 4 * extentBytesMax;
/** Of small ones there are more, since each waits for the disk's latency; Node reads with four threads. */
export const extentsUnderWayMax = 16;

/** Extents up to this are read and sent in lots, which together are as long as one large extent. */
export const lotExtentBytesMax = 64 << 10;

/** Zero ranges that wait for their neighbours: each extent under way leaves one behind at most. */
export const openZeroRangesMax = extentsUnderWayMax;
/** As long as a zero range becomes before it goes out: 64 bytes a GiB are nothing, and what is sent becomes durable meanwhile. */
export const zeroFrameBytesMax = 1 << 30;
/** What could not be read is remembered in so many pieces at most: 64 KiB. */
export const unreadableExtentsMax = 1024;

/** Below this ratio bytes go as they are: unpacking them would cost more than the wire saves. */
export const packRatioMin = 1.05;
/** Packed at once: both cores of a small machine, half of a common one. Each lane is 1.5 MiB of zstd's tables and the room. */
export const packLanes = 2;
/** What comes out of a lane lies here one after the other, some six extents, until all of them are sent. */
export const laneRoomBytes = 2 * extentBytesMax;

/** What is read while writers are held by brake or freeze waits here: 1/64 of the machine's memory, from 16 MiB, which every
 * machine can spare, to 256 MiB, which a disk of 1.2 GB/s fills in the 200 ms of the usual limit. What goes beyond is sent
 * meanwhile. A busy btrfs leaves up to 16 MB under a freeze whatever was drained before, since its freeze commits a
 * transaction: with 12 MiB one run of five got no point. */
export const heldBytesMin = 16 << 20;
export const heldBytesMax = 256 << 20;
export const heldMemoryShare = 64;
/** What the service takes at most besides that, up to the unit's MemoryHigh of 140 MiB with the smallest buffer. */
export const serviceBytesMax = 124 << 20;
/** No disk gives more: at the start of a hold, what could never be read in time is not begun. 4 GB/s. */
export const heldReadBytesPerMillisecondMax = 4_000_000;
/** Sent at once of what was read: two are packed, two go out. */
export const heldSendsMax = 4;
/** The rest of a hold or freeze in which nothing new is begun: a last read, the barrier's answer and the release. */
export const heldMarginShare = 0.15;
export const heldMarginMillisecondsMin = 5;
/** Right before a hold or freeze, what is left is read into that memory while everybody still writes: reading is ten times as
 * fast as sending, so that each pass leaves a tenth of the one before. Below 1 MiB, or where it does not shrink, the hold
 * is next. A part of the memory stays free for what comes under the hold. */
export const heldBeforehandPassesMax = 6;
export const heldBeforehandBytesMin = 1 << 20;
export const heldBeforehandShare = 0.7;
/** Of the policy's limit: first a short hold, since mostly it is enough. */
export const holdParts = [0.25, 0.5, 1] as const;
/** Quiet passes that do not shrink by a third end after this, and all of them after ten seconds: then writers are held. */
export const quietMillisecondsMin = 2_000;
export const quietMillisecondsMax = 10_000;
/** Where writers go on that cannot be held, holding the others is of no use for a while. */
export const holdRestMilliseconds = 60_000;
export const frozenReadMillisecondsMax = 200;
/** The thaw helper's hard deadline. */
export const freezeDeadlineMilliseconds = 2_000;
/** A freeze whose rest turned out too large is thawed at once, before anything is read: file systems stood still for some
 * milliseconds. It is tried again this often in one attempt. */
export const freezeAttemptsMax = 6;

/** A quiet moment is looked for in this many passes before file systems are frozen. A pass over an idle machine's few
 * changes takes milliseconds; a machine that has no such gap in 8 passes has none in 80. */
export const quietPassesMax = 8;
/** Passes of writing back and draining before a freeze. Each one leaves what was written while it ran: a factor of 3 or
 * more a pass, or it will never be small. */
export const precopyPassesMax = 12;
/** Where the last pass was this small, a freeze that leaves twice as much is still good. A larger one is made smaller
 * first, while passes still shrink by a third. */
export const settledRestBytesMax = heldBytesMin / 2;

/** Changes are drained about once a second: a block rewritten ten times a second travels once. */
export const drainIntervalMilliseconds = 1_000;
/** … or at once when this much is pending, so that a bookmark does not find a mountain. */
export const drainSoonBytes = 64 << 20;
/** A large map is drained in slices, each of which is taken right before it is read: what is written again meanwhile counts
 * once. 100 MB/s over 512 MB, drained at 88 MB/s: 120 MB are left after a round, and 440 MB where all is taken at once. At
 * most eight slices of a map, since each of them goes through all of it. */
export const drainSliceBytesMin = 32 << 20;
export const drainSlicesMax = 8;
/** A slice takes a copy of its map, and the maps' memory has no room for copies of large ones: 4,096 pieces are 1 MiB. */
export const drainSlicedPiecesMax = 4096;
/** How often an idle stream looks around. */
export const idleMilliseconds = 100;
/** Losses are looked for at least this often. */
export const barrierIntervalMilliseconds = 2_000;

/** A walk goes this far before changes get their turn: 64 MiB are 50 ms where nothing differs; or until so much differs and
 * so much time has passed: each step's end empties the pipeline of `readAheadBytes`, 20 ms of 300 on a fast way, and on a
 * slow one 8 MiB are long enough. */
export const walkStepBytes = 64 << 20;
export const walkStepDataBytes = 8 << 20;
export const walkStepMillisecondsMin = 300;
/** Progress goes out so often; the receiver may hold its digests back to `digestsAheadBytes` before it. */
export const progressIntervalMilliseconds = 1_000;
/** Digests held for walks, all disks together: 8 MiB are 32 GiB of disk. What comes beyond is forgotten, and its chunks
 * are sent without being compared. */
export const heldDigestBytesMax = 8 << 20;
/** Cache storage and vault answer within seconds; the ladder of retries on the way begins with 1, 2, 4 minutes. After
 * half an hour without any digest the walk sends what it cannot compare. */
export const digestStallMillisecondsMax = 30 * 60_000;

/** Extents that could not be read are tried again after this. */
export const readRetryMilliseconds = 30_000;
/** For so long points wait for a disk that cannot be read; then they are taken without it, and say so. A path that fails over
 * or a controller that is reset takes some seconds. */
export const unreadableGraceMilliseconds = 15_000;
/** A disk whose read has not come back after this is silent: nothing is asked of it until it has. A slow disk with a deep queue
 * answers within a second or two. */
export const silentDiskMilliseconds = 10_000;
/** Reads under way of all disks together: each waits in a thread of libuv's, of which there are 16, and a read that never
 * comes back keeps its thread. Four stay for everything else. What such reads keep of the arena is at most 12 MiB of 18. */
export const readThreadsMax = 12;
/** Of one disk. While none is silent, each gets so many; see `answering-disk.ts`. */
export const readsOfOneDiskMax = 4;
/** Opening a disk and reading its first blocks, to see what it is. */
export const openDiskMilliseconds = 5_000;
/** Whether a disk that was missing has come: sysfs is looked at so often. Disks that are there are looked at with each barrier. */
export const missingDiskLookMilliseconds = 2_000;

/** Reconnecting: 1, 2, 4 … 30 s, each shortened by up to a quarter at random so that a site does not come back at once. */
export const reconnectMillisecondsMin = 1_000;
export const reconnectMillisecondsMax = 30_000;
/** The receiver must answer a hello within this: it makes the generation durable first. */
export const welcomeMillisecondsMax = 30_000;
/** A stopping service drains and waits for acknowledgements at most this long; systemd kills after 90 s. */
export const farewellMilliseconds = 10_000;

/** After a bookmark that could not be had, the next try; also of one with a freeze whose rest was too large, since load comes
 * and goes. Where applications did not come to rest, they are left alone for longer. */
export const bookmarkRetryMilliseconds = 10_000;

/** Health events waiting for a session; the oldest goes when there are more (the newest tell what is wrong now). */
export const healthEventsMax = 64;
/** The same event is not repeated within this time. */
export const healthRepeatMilliseconds = 10 * 60_000;

/** Swap areas keep their header: the first page, at most 64 KiB on any architecture. */
export const swapHeaderBytes = 64 << 10;

/** Of each processor's trace ring: 48 bytes an event, so 170,000 writes while the service does not get to run. */
export const ringBytes = 8 << 20;

/** The status file: 64 disks are 20 KiB. */
export const statusMilliseconds = 1_000;
export const statusBytesMax = 1 << 20;

/** A bookmark that was ordered waits for a session, for a comparison's end or for a quiet moment; then somebody looks. */
export const orderedBookmarkMilliseconds = 300_000;
/** An enrolled service that has nothing to do looks anyway, once an hour: its site wakes it. */
export const restMilliseconds = 3_600_000;
/** Between two tries of what it is told to replicate and cannot: a disk that is not there yet may come. */
export const retryMillisecondsMin = 5_000;
export const retryMillisecondsMax = 300_000;

/** Of all change maps together, however many disks there are: 65,536 bitmaps of 256 bytes and 49,152 inner nodes of 64 are 19 MiB.
 * That is 512 GiB of disks where every 8 MiB have a block that is written and one that is not, at 4 KiB; 8 TiB at 64 KiB; and 128 TiB at 1 MiB.
 * Two generations are alive at once, the one that is drained and the one that is being marked. With the 100 MB of before that is
 * 120 MB of the 140 MiB at which the unit slows the service down, and the 160 at which it ends. */
export const mapBitmapsMax = 65_536;
export const mapInnerNodesMax = 49_152;
/** systemctl answers in 0.1 s; a machine that is emulated and busy has taken 10 s. */
export const listUnitsMilliseconds = 60_000;
/** Before a planned failover: systemd kills a service after 90 s, a database is often given 5 minutes, and those that follow
 * each other wait for each other. The site's order is good for 15 minutes: 10 for stopping, 5 for the bookmark. */
export const stopWritersMilliseconds = 600_000;
/** What is dirty is a share of memory: 1 GiB takes 10 s on a slow disk. */
export const syncMilliseconds = 120_000;
/** A machine has 100 to 300 units that run; each name is given to systemctl as an argument. */
export const unitsMax = 2_000;
/** The last bookmark was placed after everything had stopped; what is left to send fits into minutes or the line is too slow. */
export const lastBookmarkMilliseconds = 240_000;
/** The good-bye is a small request; a configuration server that restarts is back within a minute. */
export const goodByeMilliseconds = 60_000;
/** A site knows within 90 s whether the run before has ended, and within 10 s whether another one lives. */
export const enrolMillisecondsMax = 120_000;
export const enrolLookMilliseconds = 2_000;
/** How long a service that begins waits for its site's word on whether it is a copy: a call takes 30 s to fail when nobody
 * answers, and an inventory of 64 disks some seconds. Replication needs no configuration server: then it begins. */
export const standingMillisecondsMax = 45_000;
/** Refused by the process server although its site knows it as the machine: what was in between is settled in a moment. */
export const settledMilliseconds = 15_000;

/** How often the marker of a failed-over machine is looked for: a folder of the kernel's is read. */
export const markerLookMilliseconds = 60_000;
/** A kernel has found its disks within seconds; a storage adapter that resets a bus takes half a minute. */
export const markerSettleMilliseconds = 30_000;
/** A machine that runs this long has found its disks. */
export const youngMachineSeconds = 300;
