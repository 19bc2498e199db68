/** Every maximum of the consistency room, with its arithmetic. */

/**
 * The list that the thaw helper accepts: 256 file systems and 256 KiB of names (both fixed in thaw-helper.c). Each has a process of
 * its own, so a helper is at most 256 + 8 spares + itself and its guard = 266 of the unit's 640 tasks; what `--release` starts
 * after everything was killed is 256 more, and the service, its threads, scripts and database clients keep 64. A process is
 * about 100 KiB, kernel stack and page tables included: 1 MiB on a machine with two file systems, 26 MiB on one with 256.
 */
export const mountsMax = 256;
export const mountListBytesMax = 256 * 1024;
/** Mount points of one file system that are tried: containers and chroots make many that cannot be opened, but rarely all. */
export const mountPointsTriedMax = 64;

/** What a session may ask for; the helper itself refuses anything over 10 s. Applications feel every 100 ms. */
export const freezeDeadlineMillisecondsMax = 2000;

/** Starting the helper is a few forks and opens: milliseconds. 10 s allow for a machine that is swapping. */
export const prepareMillisecondsMax = 10_000;

/**
 * Writing back, all file systems at once, while nothing stands still: 1.5 GB dirty at 50 MB/s are 30 s. Nothing is drained meanwhile,
 * so the attempt is given up then; the kernel goes on writing back, and the next attempt finds less. Right before the freeze
 * only what was dirtied since is left.
 */
export const writeBackMillisecondsMax = 30_000;
export const lastWriteBackMillisecondsMax = 10_000;

/** Beyond what the helper itself allows for an answer (thaw: 1.5 s after the deadline), a machine that is busy gets this. */
export const answerMarginMilliseconds = 5_000;

/** The helper's processes thaw at the deadline, its spares 250 ms later. When all are stopped or killed, the service releases
 * what the note names at this time after the deadline: 2 s + 0.6 s leave 0.4 s of the 3 s that a writer may stall at most. */
export const helperSilenceMilliseconds = 600;

/** `--release` gives up waiting after 5 s, and answers which file systems are still stuck. */
export const releaseMillisecondsMax = 15_000;

/** A helper whose work is done ends at once, its guard within 250 ms. One that does not end is looked at again before the next attempt. */
export const helperEndMillisecondsMax = 2_000;

/** The kernel has not come back from a freeze or a thaw this long after its deadline: the file system hangs. A slow disk that is
 * late once is not: no attempt is made meanwhile, then it is tried again. */
export const hungMilliseconds = 10_000;
/** The same for writing back, counted from the end of the wait above: together 2 minutes. */
export const hungWriteBackMilliseconds = 90_000;

/** One answer line: 256 mounts × 12 characters of times and a few words. */
export const answerCharactersMax = 8192;

/** Kept of what a script or hook printed, for the health event: its last lines, which say why it failed. */
export const outputTailBytesMax = 2000;

/** A script that was told to end gets this long before it is killed. */
export const scriptGraceMilliseconds = 2000;

/** How long a database lock may be waited for, all steps together: behind a query that runs for minutes every later query waits for
 * the lock, too, and 5 s of that are what an application bears. Then the point is given up and the session is killed. */
export const databaseLockMillisecondsMax = 5_000;

/** Of the client's start, of questions that take no lock, and of letting go. */
export const databaseAnswerMillisecondsMax = 15_000;

/** The server ends a lock session that is silent for so long: drains before the freeze, the freeze (2 s) and the helper (30 s). */
export const databaseSessionSecondsMax = 90;

/** Of a query that is in the way, for the event: its beginning, without the values in it. */
export const queryCharactersMax = 160;

/** A checkpoint of 8 GB shared buffers at 150 MB/s is 54 s; longer than that only makes recovery longer, not wrong. */
export const checkpointMillisecondsMax = 60_000;
/** The server gives up first, and says so. Connecting may take 10 s of it. */
export const checkpointMarginMilliseconds = 15_000;

/** The longest hold of the write brake; its program refuses more. The kernel lets one write through after 400 to 500 ms of
 * the smallest limit that cgroup v2 takes (2 a second), so a longer one would hold nothing. */
export const holdMillisecondsMax = 400;
/** What a policy that does not say gets: applications know such a pause from a disk's own flush. */
export const holdMillisecondsDefault = 200;

/** Setting and taking back a limit are microseconds a group; 1,024 groups × 64 disks of 5 µs are 0.3 s. What the kernel refuses
 * is tried for 50 × 20 ms. */
export const brakeAnswerMillisecondsMax = 10_000;
