/** Limits of sign-in and access. */

/** As the reference's: a token is gone within the hour, and a revoked principal at once, since every call looks at its row. */
export const tokenSeconds = 3600;
/** Clocks of two machines with NTP differ by less. */
export const clockSkewSeconds = 60;
/** A key signs for three months, as the reference's roughly do. */
export const signingKeyDays = 90;
/** Published so long before it signs: whoever keeps the keys fetches them at least once a day. */
export const signingKeyNoticeHours = 24;
/** How old the keys in memory may be: a key is published a day before it signs, so an hour is early enough. */
export const signingKeysKeptMilliseconds = 3_600_000;
/** A token with a key that is not known makes the rows be read again, but not more often than this. */
export const signingKeysAgainMilliseconds = 5_000;

/** The new one and the old one, while a secret is changed. */
export const secretsOfOneMax = 2;
export const secretDaysDefault = 365;
export const secretDaysMax = 730;
/** 40 characters of base64url: 240 bits. */
export const secretBytes = 30;
/** A page of principals. */
export const principalsPageMax = 100;
/** Three roles for a hundred people at some vaults: far more than one tenant has. */
export const roleAssignmentsMax = 1000;

/** A form with a secret or an assertion of 4 KiB and a scope. */
export const signInBodyBytesMax = 32 << 10;
/** A form must have arrived after this long. */
export const signInBodyMilliseconds = 10_000;
/** Each costs 16 MiB and 50 ms of a core: two at once leave the other threads to the disks. */
export const hashesAtOnceMax = 2;
/** Waiting behind them: 64 / 2 × 50 ms, so nobody waits longer than two seconds. */
export const hashesWaitingMax = 64;
/** Wrong secrets of one application from one address, then 401 is 429 until a minute has passed. */
export const guessesPerMinuteMax = 10;
/** Wrong secrets of one address, whatever the application. */
export const guessesOfAddressPerMinuteMax = 50;
export const guessWindowMilliseconds = 60_000;
/** Addresses and applications remembered: some 200 bytes each. */
export const guessersRememberedMax = 10_000;

/** An issuer's documents: its configuration has some 5 KiB, a dozen keys some 20. */
export const issuerDocumentBytesMax = 256 << 10;
export const issuerTimeoutMilliseconds = 10_000;
/** Fetched again after an hour, or at once for a key that is not known, but not more often than once in half a minute. */
export const issuerKeysKeptMilliseconds = 3_600_000;
export const issuerKeysAgainMilliseconds = 30_000;
/** An issuer that does not answer: what it said last counts so long. */
export const issuerKeysStaleMilliseconds = 24 * 3_600_000;
/** A token of another issuer: groups make them long; a header has 16 KiB in node. */
export const tokenCharactersMax = 12 << 10;

/** As the reference's activity log. */
export const auditDays = 90;
export const auditPageMax = 200;
/** Removed in pieces, so that no statement holds the table for long. */
export const auditTrimMax = 1000;
