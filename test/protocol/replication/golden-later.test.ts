/**
 * Goal: fields that came within version 1 stay where they are. Method: golden frames that have them, beside those that do
 * not (`golden.test.ts`), which stay readable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  completeFrame,
  decodeHeader,
  encodeFrame,
  headerBytes,
} from '../../../src/protocol/replication/frame.ts';
import { Hello, Refused } from '../../../src/protocol/replication/messages.ts';

const folder = join(import.meta.dirname, '../../golden/replication/v1/later');

for (const [name, schema, field] of [
  ['hello', Hello, 'previous'],
  ['refused', Refused, 'position'],
] as const)
  test(`a ${name} frame with its ${field} is read, and encoded to the same bytes`, (t) => {
    const bytes = readFileSync(join(folder, `${name}.frame`));
    const read = completeFrame(decodeHeader(bytes), bytes.subarray(headerBytes));
    const value = schema.parse(JSON.parse(Buffer.from(read.payload).toString())) as Record<string, unknown>;
    t.deepEqual(value, JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')));
    t.true(field in value);
    t.true(encodeFrame({ ...read, payload: Buffer.from(JSON.stringify(value)) }).equals(bytes));
  });
