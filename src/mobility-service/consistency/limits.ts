/** Every maximum of the consistency room, with its arithmetic. */

/** The list that the thaw helper accepts: 256 mounts and 64 KiB of names (both fixed in thaw-helper.c, static memory). */
export const mountsMax = 256;
export const mountListBytesMax = 64 * 1024;

/** What a session may ask for; the helper itself refuses anything over 10 s. Applications feel every 100 ms. */
export const freezeDeadlineMillisecondsMax = 2000;

/** Starting the helper is a fork and a few opens: milliseconds. 10 s allow for a machine that is swapping. */
export const prepareMillisecondsMax = 10_000;

/**
 * From the command to the answer. Before anything stands still the helper writes back dirty data, which on a slow disk
 * with 2 GB dirty at 50 MB/s is 40 s; then come the freeze (at most its deadline) and a margin. A helper that says nothing for so
 * long hangs in the kernel; the point is given up, the helper still thaws when it comes back.
 */
export const freezeAnswerMillisecondsMax = 60_000;

/** Writing back before the drain: 2 GB dirty at 50 MB/s are 40 s; a disk that is slower than that gives no frozen point. */
export const writeBackMillisecondsMax = 120_000;

/** A thaw takes under a millisecond; broken ones are tried for 50 × 20 ms a file system. */
export const thawAnswerMillisecondsMax = 15_000;

/** One answer line: 256 mounts × 12 characters of times and a few words. */
export const answerCharactersMax = 8192;

/** Kept of what a script or hook printed, for the health event: its last lines, which say why it failed. */
export const outputTailBytesMax = 2000;

/** A script that was told to end gets this long before it is killed. */
export const scriptGraceMilliseconds = 2000;

/** How long a database lock may be waited for; a busy server that cannot give it in 20 s would stall its clients. */
export const databaseLockSecondsMax = 20;

/** The server ends a lock session that is silent for so long: freeze (2 s) + helper (60 s) + scripts would be cut off first. */
export const databaseSessionSecondsMax = 90;

/** A checkpoint of 8 GB shared buffers at 150 MB/s is 54 s; longer than that only makes recovery longer, not wrong. */
export const checkpointMillisecondsMax = 60_000;

/** The longest hold of the write brake; its program refuses more. The kernel lets one write through after 400 to 500 ms of
 * the smallest limit that cgroup v2 takes (2 a second), so a longer one would hold nothing. */
export const holdMillisecondsMax = 400;
/** What a policy that does not say gets: applications know such a pause from a disk's own flush. */
export const holdMillisecondsDefault = 200;

/** Setting and taking back a limit are microseconds a group; 1,024 groups × 64 disks of 5 µs are 0.3 s. What the kernel refuses
 * is tried for 50 × 20 ms. */
export const brakeAnswerMillisecondsMax = 10_000;
