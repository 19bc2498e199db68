/**
 * Secrets that are only ever compared: kept as scrypt hashes, so that whoever reads the database cannot sign in with what
 * they found. Text form, so that the cost can grow later without touching old rows:
 *
 *     scrypt$<N>$<r>$<p>$<salt, base64url>$<hash, base64url>
 */
import { type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import type { Random } from './random.ts';

/**
 * N 2^14, r 8: 16 MiB and about 50 ms a guess. The secrets themselves are 256 random bits, so the hash need not make up for
 * weak ones; it must not let a vault be busy with hashing either.
 */
const cost = { N: 1 << 14, r: 8, p: 1 } as const;
const hashBytes = 32;
const saltBytes = 16;
/** Of a row: a hash made with more than 256 MiB is not ours. */
const memoryBytesMax = 256 << 20;

export async function hashSecret(secret: string, random: Random): Promise<string> {
  const salt = random.bytes(saltBytes);
  const hash = await derive(secret, salt, hashBytes, cost);
  return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64url'), hash.toString('base64url')].join('$');
}

/** In constant time. False for a text that is no hash of ours. */
export async function matchesHash(secret: string, hashed: string): Promise<boolean> {
  const match = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]{8,128})\$([\w-]{16,128})$/.exec(hashed);
  if (!match) return false;
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (128 * N * r * p > memoryBytesMax) return false;
  const expected = Buffer.from(match[5]!, 'base64url');
  const hash = await derive(secret, Buffer.from(match[4]!, 'base64url'), expected.byteLength, { N, r, p });
  return timingSafeEqual(hash, expected);
}

function derive(secret: string, salt: Buffer, bytes: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, bytes, { ...options, maxmem: memoryBytesMax + (1 << 20) }, (error, hash) =>
      error ? reject(error) : resolve(hash),
    );
  });
}
