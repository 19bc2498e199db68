/**
 * Secrets for one reader: sealed to a public key with NaCl's box (X25519, XSalsa20-Poly1305), so that whatever carries or
 * keeps them on the way (a database, a log, a backup) cannot read them.
 *
 *     sealed = sender's public key, made for this one secret (32) || nonce (24) || box(secret)
 */
import nacl from 'tweetnacl';
import type { Random } from './random.ts';

export interface BoxKeys {
  readonly publicKey: Buffer;
  readonly secretKey: Buffer;
}

export function makeBoxKeys(random: Random): BoxKeys {
  return boxKeysOf(random.bytes(nacl.box.secretKeyLength));
}

export function boxKeysOf(secretKey: Uint8Array): BoxKeys {
  const keys = nacl.box.keyPair.fromSecretKey(Uint8Array.from(secretKey));
  return { publicKey: Buffer.from(keys.publicKey), secretKey: Buffer.from(keys.secretKey) };
}

export function sealTo(publicKey: Uint8Array, secret: Uint8Array, random: Random): Buffer {
  const once = makeBoxKeys(random);
  const nonce = random.bytes(nacl.box.nonceLength);
  const sealed = nacl.box(
    Uint8Array.from(secret),
    Uint8Array.from(nonce),
    Uint8Array.from(publicKey),
    Uint8Array.from(once.secretKey),
  );
  return Buffer.concat([once.publicKey, nonce, sealed]);
}

/** `undefined` when it was sealed to another key or has been altered. */
export function openSealed(secretKey: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  const { publicKeyLength, nonceLength, overheadLength } = nacl.box;
  if (sealed.byteLength < publicKeyLength + nonceLength + overheadLength) return undefined;
  const secret = nacl.box.open(
    Uint8Array.from(sealed.subarray(publicKeyLength + nonceLength)),
    Uint8Array.from(sealed.subarray(publicKeyLength, publicKeyLength + nonceLength)),
    Uint8Array.from(sealed.subarray(0, publicKeyLength)),
    Uint8Array.from(secretKey),
  );
  return secret === null ? undefined : Buffer.from(secret);
}
