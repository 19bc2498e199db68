/** Limits of the REST API. */

/**
 * Items on a page: 100 protected items are about 0.5 MB of JSON, and their facts come from eight queries of some milliseconds
 * each. Pages of a vault of ten thousand take 40 ms at the worst (bench/vault-api.ts); larger ones save a client little.
 */
export const armPageMax = 100;
/** A request's body, as the reference's resource manager limits it: 4 MiB. */
export const armBodyBytesMax = 4 << 20;
/** Of a body that is refused: read and thrown away, so that the refusal is seen. Eight times what is allowed. */
export const armUnreadBytesMax = 32 << 20;
/** And no longer than this: 32 MiB over a line of 50 Mbit/s. */
export const armUnreadMilliseconds = 5000;
/** A token of 12 KiB, an address of 8 KiB and some room; Node's own limit is 16 KiB. */
export const armHeaderBytesMax = 32 << 10;
/** Under way at once: each holds at most one body of 4 MiB, and most none; waiting sites have their own count. */
export const armRequestsMax = 256;
/** Of one caller: a quarter, so that one script does not keep the others out. */
export const armRequestsOfOneMax = 64;
/** 1,000 sites with two connections each, 256 requests, and room; each idle one is some 50 KiB: 200 MiB at the worst. */
export const armConnectionsMax = 4096;
/** Whoever has not shown who they are by then holds a connection for nothing. */
export const armHandshakeMilliseconds = 20_000;
/** A body must have arrived after so long; nothing else keeps a connection busy without an answer. */
export const armRequestMilliseconds = 60_000;
/** Longest name in a path: the reference's names are below 260 characters, event names too. */
export const armNameMax = 300;
/** Seconds between two looks of a client at a long-running operation: the vault is near and its database is its own. */
export const retryAfterSeconds = 1;
/** A test failover's screen as PNG: text is some 20 KiB, a photograph on 1920 × 1080 some 4 MiB; base64 adds a third. */
export const screenshotAnswerBytesMax = 16 << 20;
