/**
 * Goal: fields that came within a version stay where they are, and version 2 says them in the same bytes. Method: golden frames that have them, beside those that do
 * not (`golden.test.ts`), which stay readable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Bookmark } from '../../../src/model/bookmark.ts';
import {
  completeFrame,
  decodeHeader,
  encodeFrame,
  headerBytes,
} from '../../../src/protocol/replication/frame.ts';
import { Hello, Refused } from '../../../src/protocol/replication/messages.ts';

const golden = join(import.meta.dirname, '../../golden/replication');

for (const version of ['v1', 'v2'])
  for (const [name, schema, field, since] of [
    ['hello', Hello, 'previous', 'v1'],
    ['refused', Refused, 'position', 'v1'],
    ['hello-machine', Hello, 'machineIdentity', 'v2'],
    ['bookmark', Bookmark, 'heldMilliseconds', 'v2'],
  ] as const) {
    if (since > version) continue;
    test(`a ${name} frame of ${version} with its ${field} is read, and encoded to the same bytes`, (t) => {
      const folder = join(golden, version, 'later');
      const bytes = readFileSync(join(folder, `${name}.frame`));
      const read = completeFrame(decodeHeader(bytes), bytes.subarray(headerBytes));
      const value = schema.parse(JSON.parse(Buffer.from(read.payload).toString())) as Record<string, unknown>;
      t.deepEqual(value, JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')));
      t.true(field in value);
      const again = encodeFrame({ ...read, payload: Buffer.from(JSON.stringify(value)) });
      // What is written now is of version 2.
      if (version === 'v2') t.true(again.equals(bytes));
    });
  }

for (const [name, schema, said] of [
  ['hello-disks', Hello, /"identity":"disk\/1 .*"isMissing":true/],
  ['bookmark-missing', Bookmark, /"missingDisks":\[/],
] as const)
  test(`a frame of v2 with what came within it is read, and encoded to the same bytes: ${name}`, (t) => {
    const folder = join(golden, 'v2/later');
    const bytes = readFileSync(join(folder, `${name}.frame`));
    const read = completeFrame(decodeHeader(bytes), bytes.subarray(headerBytes));
    const value = schema.parse(JSON.parse(Buffer.from(read.payload).toString()));
    t.deepEqual(value, JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')));
    t.regex(JSON.stringify(value), said);
    t.true(encodeFrame({ ...read, payload: Buffer.from(JSON.stringify(value)) }).equals(bytes));
  });
