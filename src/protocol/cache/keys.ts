/**
 * The keys of a protected item. One random 32-byte item key is made when protection is enabled; what is used is derived
 * from it (HKDF-SHA-256, RFC 5869), so that no two purposes share a key and no segment shares one with another.
 */
import { hkdfSync } from 'node:crypto';

export const itemKeyBytes = 32;

function derive(itemKey: Uint8Array, salt: Uint8Array, purpose: string): Buffer {
  if (itemKey.byteLength !== itemKeyBytes) throw new RangeError('an item key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', itemKey, salt, purpose, 32));
}

/** For the HMAC of manifests. */
export const manifestMacKey = (itemKey: Uint8Array): Buffer =>
  derive(itemKey, new Uint8Array(0), 'leeward manifest 1');

/** For one segment or digest object; `salt` is the object's own 32 random bytes. Frame nonces then simply count. */
export const objectKey = (itemKey: Uint8Array, salt: Uint8Array): Buffer =>
  derive(itemKey, salt, 'leeward object 1');

/** For the HMAC of requests and notices (`request.ts`). */
export const requestMacKey = (itemKey: Uint8Array): Buffer =>
  derive(itemKey, new Uint8Array(0), 'leeward request 1');
