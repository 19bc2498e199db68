/**
 * Seals small secrets (item keys) under a master key kept in a file, with NaCl's secretbox (XSalsa20-Poly1305): a stolen
 * database is worthless without that file, and an altered row does not open.
 *
 *     sealed = nonce (24 random bytes) || secretbox(secret)
 */
import nacl from 'tweetnacl';
import type { Random } from './random.ts';

export const masterKeyBytes = nacl.secretbox.keyLength;

export function seal(masterKey: Uint8Array, secret: Uint8Array, random: Random): Buffer {
  const nonce = random.bytes(nacl.secretbox.nonceLength);
  return Buffer.concat([nonce, nacl.secretbox(Uint8Array.from(secret), Uint8Array.from(nonce), masterKey)]);
}

/** `undefined` when it was sealed under another key or has been altered. */
export function unseal(masterKey: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.byteLength < nacl.secretbox.nonceLength + nacl.secretbox.overheadLength) return undefined;
  const nonce = Uint8Array.from(sealed.subarray(0, nacl.secretbox.nonceLength));
  const box = Uint8Array.from(sealed.subarray(nacl.secretbox.nonceLength));
  const secret = nacl.secretbox.open(box, nonce, masterKey);
  return secret === null ? undefined : Buffer.from(secret);
}
