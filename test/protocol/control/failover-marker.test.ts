/**
 * Goal: markers that were once written are read for ever, and nothing but the item's own key makes one. Method: golden bytes
 * under a fixed key; each byte of them changed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  encodeMarker,
  FailoverMarker,
  isMarker,
  markerDisk,
  markerPublicKey,
  readMarker,
} from '../../../src/protocol/control/failover-marker.ts';

const golden = join(import.meta.dirname, '../../golden/failover-marker/v1');
const itemKey = Buffer.alloc(32, 7);
const { publicKey, ...content } = JSON.parse(readFileSync(join(golden, 'marker.json'), 'utf8'));
const marker = FailoverMarker.parse(content);
const head = readFileSync(join(golden, 'marker.head'));

test('a golden marker is read, and written to the same bytes', (t) => {
  t.is(markerPublicKey(itemKey), publicKey);
  t.deepEqual(readMarker(head, publicKey), marker);
  t.true(encodeMarker(marker, itemKey).equals(head));
  const disk = markerDisk(head);
  t.is(disk.byteLength, 1 << 20);
  t.deepEqual(readMarker(disk.subarray(0, 4096), publicKey), marker);
});

test('a marker of another key, or with any byte of it changed, does not count', (t) => {
  t.is(typeof readMarker(head, markerPublicKey(Buffer.alloc(32, 8))), 'string');
  t.is(typeof readMarker(head, ''), 'string');
  t.is(typeof readMarker(Buffer.alloc(4096), publicKey), 'string');
  t.false(isMarker(Buffer.alloc(4096)));
  const bytes = [...Array(20).keys(), ...Array.from({ length: 64 }, (_, n) => 32 + n)];
  for (let at = 512; at < head.byteLength; at += 7) bytes.push(at);
  for (const at of bytes) {
    const changed = Buffer.from(head);
    changed[at]! ^= 1;
    t.is(typeof readMarker(changed, publicKey), 'string', `byte ${at}`);
  }
  for (let length = 0; length < head.byteLength; length += 13)
    t.is(typeof readMarker(head.subarray(0, length), publicKey), 'string', `cut at ${length}`);
});
