/** Limits of the configuration server, each with its arithmetic. */

/** 1,000 machines and their process servers wait for their assignments; as many report at the same moment. */
export const agentRequestsMax = 3000;
/** Between two reports to the vault when everything changes at once: one a second would be a page of 1 MiB each. */
export const reportGapMilliseconds = 2_000;
/** Of one page; the vault takes no more. */
export const machinesOfPageMax = 1000;
/** Longest wait between two tries to reach the vault. */
export const retryMillisecondsMax = 60_000;
/** A call to the vault that does not wait for orders; a page of a thousand machines over a slow line. */
export const callMilliseconds = 30_000;
/** An answer with 100 orders of 64 disks is 2 MiB. */
export const vaultAnswerBytesMax = 16 << 20;
/** How often orders are looked at when nothing happens. */
export const workMilliseconds = 1_000;
/** Unanswered orders worked on at once. */
export const ordersUnderWayMax = 500;
/** Scripts at once: a recovery plan runs them one after the other, several plans may run. */
export const scriptsMax = 8;
/** What is kept of a script's output, from its end; an answer takes 64 KiB of characters. */
export const scriptOutputBytesMax = 32 << 10;
/** Agents' certificates, and the configuration server's own. Renewed in their last third. */
export const agentCertificateDays = 90;
export const renewDays = 30;
/** Answered orders are kept so that a repeated one is known; the vault repeats only what it has no answer to. */
export const answeredOrdersKept = 10_000;
/** Copies of a machine say every minute that they are there; one that said nothing for five is gone, or is off. */
export const copyKeptMilliseconds = 5 * 60_000;
/** Runs of copies kept of one machine: a copy that is started again is another run. Rows of 1 KiB. */
export const runsOfMachineMax = 64;
/** Told of one machine to the vault, of half a KiB each; the first ones say enough. */
export const copiesOfMachineMax = 8;
