/** Limits of the site link, each with its arithmetic. */

/** A page has 1,000 machines of at most 64 disks; a usual machine has 2 and 1.5 KiB. 16 MiB is ten times the usual page. */
export const reportBytesMax = 16 << 20;
/** One waiting request a site, one report and one answer: 1,000 sites. */
export const siteRequestsMax = 3000;
/** A vault process beside this one may have placed an order; then the database says so before anybody wakes us. */
export const ordersPollMilliseconds = 1_000;
/** How often a site reports: three are missed before it counts as silent. */
export const reportSeconds = 30;
/** Without a report for so long a site is not connected. */
export const heartbeatMissedMilliseconds = 3 * reportSeconds * 1000;
/** An answer may be under way when its order expires. */
export const answerGraceMilliseconds = 60_000;
/** Answered orders are looked at by their jobs for as long as jobs are kept; then only their numbers matter. */
export const answeredOrdersKept = 10_000;
/** A site's certificate. Renewed in its last third. */
export const siteCertificateDays = 90;
