/**
 * Goal: what version 1 said is understood for ever, and said in the same bytes.
 * Method: one golden frame of every type beside a JSON of its meaning. Nothing here writes golden files: a missing one fails.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Bookmark } from '../../../src/model/bookmark.ts';
import { HealthEvent } from '../../../src/model/health.ts';
import { ResyncProgress } from '../../../src/model/progress.ts';
import {
  completeFrame,
  decodeHeader,
  encodeFrame,
  type Frame,
  FrameSplitter,
  FrameType,
  frame,
  headerBytes,
} from '../../../src/protocol/replication/frame.ts';
import {
  Hello,
  Order,
  Refused,
  ResyncBegin,
  ResyncEnd,
  Welcome,
} from '../../../src/protocol/replication/messages.ts';

const folder = join(import.meta.dirname, '../../golden/replication/v1');

interface Meaning extends Omit<Frame, 'payload' | 'payloadCrc' | 'type'> {
  readonly type: keyof typeof FrameType;
  /** One of the two; neither where there is no payload. */
  readonly json?: unknown;
  readonly hex?: string;
}

const schemas: Partial<Record<keyof typeof FrameType, { parse(value: unknown): unknown }>> = {
  hello: Hello,
  welcome: Welcome,
  refused: Refused,
  fenced: Refused,
  bookmark: Bookmark,
  resyncBegin: ResyncBegin,
  resyncEnd: ResyncEnd,
  progress: ResyncProgress,
  health: HealthEvent,
  order: Order,
};

function frameOf({ type, json, hex, ...fields }: Meaning): Frame {
  const payload = json === undefined ? Buffer.from(hex ?? '', 'hex') : Buffer.from(JSON.stringify(json));
  return frame(FrameType[type], { ...fields, payload });
}

for (const type of Object.keys(FrameType) as (keyof typeof FrameType)[])
  test(`a ${type} frame of version 1 is read, and encoded to the same bytes`, (t) => {
    const bytes = readFileSync(join(folder, `${type}.frame`));
    const meaning = JSON.parse(readFileSync(join(folder, `${type}.json`), 'utf8')) as Meaning;
    t.is(meaning.type, type);
    const expected = frameOf(meaning);
    const read = completeFrame(decodeHeader(bytes), bytes.subarray(headerBytes));
    const { payloadCrc: _, ...fields } = read;
    t.deepEqual({ ...fields, payload: Buffer.from(read.payload) }, expected as typeof fields);
    t.true(encodeFrame(expected).equals(bytes));
    const schema = schemas[type];
    t.is(schema === undefined, meaning.json === undefined);
    if (schema) t.deepEqual(schema.parse(JSON.parse(Buffer.from(read.payload).toString())), meaning.json);
  });

test('there is nothing else among the golden frames, and together they are one stream', (t) => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.frame'));
  t.deepEqual(
    names.sort(),
    Object.keys(FrameType)
      .map((type) => `${type}.frame`)
      .sort(),
  );
  const all = Buffer.concat(names.map((name) => readFileSync(join(folder, name))));
  t.is([...new FrameSplitter().push(all)].length, names.length);
});
