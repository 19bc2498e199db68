/** Named maxima of the engine, with their arithmetic. */

/** A process that dies is followed after so long; a process that stands still for longer has lost its jobs. */
export const leaseMilliseconds = 30_000;
/** Three tries before a lease runs out. */
export const heartbeatMilliseconds = 8_000;
/** Jobs that one process works at: each holds at most one connection for moments, and some wait for a hypervisor. */
export const concurrencyDefault = 32;
/** What another process has woken is found after so long; what this one wakes, at once. */
export const pollMilliseconds = 2_000;
/** A wait for an event looks again by itself after so long: for events that were lost with the process that had them. */
export const waitLookMilliseconds = 60_000;
/** Progress is written at most so often; the last is written in any case. */
export const progressMilliseconds = 1_000;
/** How long a stopping process waits for its steps; what is not done by then is taken over when its lease runs out. */
export const drainMilliseconds = 15_000;
/** An undoing that fails is tried again after 1, 2, 4, 8, 10, 30, 30, … minutes; then only when somebody says so. */
export const undoTriesMax = 20;
/** The database is left alone for so long when it does not answer. */
export const troubleMilliseconds = 5_000;
/** Ended jobs are kept for a quarter. 100 a day are 9,000 rows. */
export const keptMilliseconds = 90 * 24 * 3600_000;
export const sweepMilliseconds = 3600_000;
export const sweepBatch = 200;
/** A plan has groups' jobs as children, and these have items' jobs. */
export const taskDepthMax = 4;
/** Children of a job that are shown: a plan has at most 100 machines, with room. */
export const childrenMax = 1000;
/** JSON of a job's input or a step's output. */
export const jsonBytesMax = 256 << 10;
/** Errors that a job's row keeps; each is at most some KiB. The log has all. */
export const errorsMax = 50;
/** A page of jobs. */
export const jobPageMax = 1000;
/** Somebody following a job in another process looks as often. */
export const followMilliseconds = 1_000;
