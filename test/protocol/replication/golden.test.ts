/**
 * Goal: what version 1 said is understood for ever; what version 2 says is said in the same bytes.
 * Method: one golden frame of every type beside a JSON of its meaning. Nothing here writes golden files: a missing one fails.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
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

const golden = join(import.meta.dirname, '../../golden/replication');
const versions = ['v1', 'v2'] as const;
/** Of a version: its frame types, and in version 2 data that is packed. */
const namesOf = (version: string) => [...Object.keys(FrameType), ...(version === 'v2' ? ['packed'] : [])];

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

for (const version of versions)
  for (const name of namesOf(version))
    test(`a ${name} frame of ${version} is read${version === 'v2' ? ', and encoded to the same bytes' : ''}`, (t) => {
      const bytes = readFileSync(join(golden, version, `${name}.frame`));
      const meaning = JSON.parse(readFileSync(join(golden, version, `${name}.json`), 'utf8')) as Meaning;
      t.is(meaning.type, name === 'packed' ? 'data' : (name as Meaning['type']));
      const expected = frameOf(meaning);
      const read = completeFrame(decodeHeader(bytes), bytes.subarray(headerBytes));
      const { payloadCrc: _, ...fields } = read;
      t.deepEqual({ ...fields, payload: Buffer.from(read.payload) }, expected as typeof fields);
      if (version === 'v2') t.true(encodeFrame(expected).equals(bytes));
      const schema = schemas[meaning.type];
      t.is(schema === undefined, meaning.json === undefined);
      if (schema) t.deepEqual(schema.parse(JSON.parse(Buffer.from(read.payload).toString())), meaning.json);
    });

test('there is nothing else among the golden frames, and together they are one stream', (t) => {
  for (const version of versions) {
    const names = readdirSync(join(golden, version)).filter((name) => name.endsWith('.frame'));
    t.deepEqual(
      names.sort(),
      namesOf(version)
        .map((name) => `${name}.frame`)
        .sort(),
    );
    const all = Buffer.concat(names.map((name) => readFileSync(join(golden, version, name))));
    t.is([...new FrameSplitter().push(all)].length, names.length);
  }
});

test('what is packed in version 2 is what it stands for', (t) => {
  const { lengthBytes, hex } = JSON.parse(readFileSync(join(golden, 'v2', 'packed.json'), 'utf8')) as Meaning;
  t.true(zstdDecompressSync(Buffer.from(hex!, 'hex')).equals(Buffer.alloc(lengthBytes, 'golden ')));
});
