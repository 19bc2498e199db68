/**
 * The marker of a machine that a failover made: a small read-only disk that says, signed by the vault, whose copy the machine
 * is. The copy of the mobility service in it then keeps quiet. docs/formats/failover-marker.md.
 *
 *     0        magic, 16 bytes
 *     16       u32 LE: bytes of the content
 *     32       Ed25519 signature of magic and content, 64 bytes
 *     512      content: JSON, UTF-8
 *     …        zeros, to 1 MiB
 *
 * The key belongs to the item: its seed is derived from the item key, so the vault and the site's configuration server have
 * it, and the machine is given the public half with its assignment. Nobody who can only attach a disk can make one.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { ProtectedItemId } from '../../model/ids.ts';

export const FailoverMarker = z.strictObject({
  format: z.literal('leeward-failover-marker/1'),
  itemId: ProtectedItemId,
  /** Of the source: its mobility service's id at its site. */
  machineId: z.guid(),
  failoverId: z.guid(),
  kind: z.enum(['test', 'failover']),
  writtenAt: z.iso.datetime(),
});
export type FailoverMarker = z.infer<typeof FailoverMarker>;

const magic = Buffer.from('LEEWARDMARKER/1\n');
const contentAt = 512;
/** What has to be read of a disk to know it. */
export const markerHeadBytes = 4096;
/** No disk that holds anything is this small, so whoever looks for markers opens no others. */
export const markerDiskBytes = 1 << 20;

/** PKCS #8 of an Ed25519 seed, but for the seed. */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** SubjectPublicKeyInfo of an Ed25519 key, but for its 32 bytes. */
const spki = Buffer.from('302a300506032b6570032100', 'hex');

function signingKey(itemKey: Uint8Array): KeyObject {
  if (itemKey.byteLength !== 32) throw new RangeError('an item key has 32 bytes');
  const seed = Buffer.from(hkdfSync('sha256', itemKey, new Uint8Array(0), 'leeward-failover-marker/1', 32));
  return createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
}

/** Base64 of 32 bytes: what a machine is given to know its own markers by. */
export function markerPublicKey(itemKey: Uint8Array): string {
  const der = createPublicKey(signingKey(itemKey)).export({ format: 'der', type: 'spki' });
  return der.subarray(spki.byteLength).toString('base64');
}

/** The disk, but for the zeros behind its content. */
export function encodeMarker(marker: FailoverMarker, itemKey: Uint8Array): Buffer {
  const content = Buffer.from(JSON.stringify(FailoverMarker.parse(marker)));
  if (contentAt + content.byteLength > markerHeadBytes) throw new RangeError('a marker has one page');
  const head = Buffer.alloc(contentAt + content.byteLength);
  magic.copy(head);
  head.writeUInt32LE(content.byteLength, 16);
  sign(null, Buffer.concat([magic, content]), signingKey(itemKey)).copy(head, 32);
  content.copy(head, contentAt);
  return head;
}

/** The whole disk. */
export const markerDisk = (head: Uint8Array): Buffer =>
  Buffer.concat([head, Buffer.alloc(markerDiskBytes - head.byteLength)]);

export const isMarker = (head: Uint8Array): boolean =>
  Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, magic.byteLength)).equals(magic);

/** What it says, if it is whole and signed by this key; else why it does not count. */
export function readMarker(head: Uint8Array, publicKey: string): FailoverMarker | string {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (!isMarker(head) || bytes.byteLength < contentAt) return 'it is no marker';
  const end = contentAt + bytes.readUInt32LE(16);
  if (end > Math.min(markerHeadBytes, bytes.byteLength)) return 'it is longer than a marker may be';
  const content = bytes.subarray(contentAt, end);
  const raw = Buffer.from(publicKey, 'base64');
  if (raw.byteLength !== 32) return 'this machine was given no key to know it by';
  const key = createPublicKey({ key: Buffer.concat([spki, raw]), format: 'der', type: 'spki' });
  if (!verify(null, Buffer.concat([magic, content]), key, bytes.subarray(32, 96)))
    return 'its signature is not that of this machine’s vault';
  try {
    return FailoverMarker.parse(JSON.parse(content.toString()));
  } catch {
    return 'it is of another version';
  }
}
