/** Limits of the site link, each with its arithmetic. */

/** A page has 1,000 machines of at most 256 disks; a usual machine has 2 and 1.5 KiB. 16 MiB is ten times the usual page. */
export const reportBytesMax = 16 << 20;
/** One waiting request a site, one report and one answer: 1,000 sites. */
export const siteRequestsMax = 3000;
/** A vault process beside this one may have placed an order; then the database says so before anybody wakes us. */
export const ordersPollMilliseconds = 1_000;
/** How often a site reports. */
export const reportSeconds = 30;
/** An answer may be under way when its order expires. */
export const answerGraceMilliseconds = 60_000;
/** Their jobs have long read the answers; after that they only take room. */
export const answeredOrdersDays = 30;
export const answeredOrdersTrimmedAtOnce = 1000;
/** A site's certificate. Renewed in its last third. */
export const siteCertificateDays = 90;
