/**
 * Pages of a trace ring. Recorded ones must say what the kernel's own text trace said of the same pages; made-up ones hold
 * what could not be recorded here; and garbage must end, stay inside the page, and be called damaged or make sense.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { noSector, type PageOutcome, RingPage } from '../../../src/mobility-service/capture/ring-page.ts';
import {
  completionLayout,
  markerLayout,
  parseEventFormat,
  parseHeaderPage,
} from '../../../src/mobility-service/capture/trace-format.ts';

const folder = join(import.meta.dirname, '../../golden/trace-format/v1');
const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
const header = parseHeaderPage(text('vanilla-6.18.header_page'));
const marker = markerLayout(parseEventFormat(text('vanilla-6.18.print')));
const layoutOf = (kernel: string) => completionLayout(parseEventFormat(text(`${kernel}.format`)));
const modern = layoutOf('vanilla-6.18');

type Call = [device: number, sector: number | null, count: number, operation: string] | string;

function walk(page: RingPage, lengthBytes = 4096): PageOutcome & { calls: Call[]; commands: boolean[] } {
  const calls: Call[] = [];
  const commands: boolean[] = [];
  const outcome = page.walk(lengthBytes, {
    completion: (device, sector, count, operation, isCommand) => {
      calls.push([device, sector === noSector ? null : sector, count, String.fromCharCode(operation)]);
      commands.push(isCommand);
    },
    marker: (line) => calls.push(line),
  });
  return { ...outcome, calls, commands };
}

/** A page with these events: each is a header word and its words. */
function pageOf(words: readonly number[], layout = modern, flags = 0): RingPage {
  const page = new RingPage(header, layout, marker);
  const view = new DataView(page.bytes.buffer);
  view.setUint32(8, ((words.length * 4) | flags) >>> 0, true);
  for (const [index, word] of words.entries()) view.setUint32(16 + index * 4, word >>> 0, true);
  return page;
}

/** The words of a completion, laid out as `layout` says. */
function completion(
  layout: typeof modern,
  of: { device: number; sector: bigint; count: number; operation: string; commandBytes?: number },
): number[] {
  const bytes = Buffer.alloc(Math.ceil(layout.bytesMin / 4) * 4);
  bytes.writeUInt16LE(layout.id, 0);
  bytes.writeUInt32LE(of.device, layout.devOffset);
  if (layout.sectorBytes === 8) bytes.writeBigUInt64LE(of.sector, layout.sectorOffset);
  else bytes.writeUInt32LE(Number(of.sector & 0xffff_ffffn), layout.sectorOffset);
  bytes.writeUInt32LE(of.count, layout.countOffset);
  bytes.write(of.operation, layout.rwbsOffset, 'latin1');
  bytes.writeUInt32LE((((of.commandBytes ?? 1) << 16) | bytes.byteLength) >>> 0, layout.commandOffset);
  return Array.from({ length: bytes.byteLength / 4 }, (_, index) => bytes.readUInt32LE(index * 4));
}

const event = (words: readonly number[]): number[] => [words.length, ...words];
const write = completion(modern, { device: 0x700003, sector: 40n, count: 8, operation: 'WS' });
const writeCall: Call = [0x700003, 40, 8, 'W'];

for (const name of readdirSync(join(folder, 'pages')).filter((each) => each.endsWith('.pages')))
  test(`the recorded pages ${name} say what the kernel's text said`, (t) => {
    const expected = JSON.parse(text(`pages/${name.replace(/pages$/, 'json')}`)) as {
      pages: number;
      missed: boolean;
      calls: Call[];
    };
    const bytes = readFileSync(join(folder, 'pages', name));
    t.is(bytes.byteLength, expected.pages * 4096);
    const page = new RingPage(header, modern, marker);
    const calls: Call[] = [];
    let missed = false;
    for (let at = 0; at < bytes.byteLength; at += 4096) {
      page.bytes.set(bytes.subarray(at, at + 4096));
      const outcome = walk(page);
      t.false(outcome.damaged);
      t.is(outcome.events, outcome.calls.length);
      missed ||= outcome.missed;
      calls.push(...outcome.calls);
    }
    t.deepEqual(calls, expected.calls);
    t.is(missed, expected.missed);
  });

test('time extends, time stamps and padding are stepped over, and a delta-less padding ends the page', (t) => {
  const page = pageOf([
    30 | (5 << 5),
    1234,
    ...event(write),
    31,
    99,
    // An event that was discarded after it had been reserved: 12 bytes of content.
    29 | (1 << 5),
    16,
    1,
    2,
    3,
    ...event(write),
    // A length in its own word, which counts itself.
    0,
    write.length * 4 + 4,
    ...write,
    29,
    0xdead_beef,
    0xdead_beef,
  ]);
  const outcome = walk(page);
  t.deepEqual(outcome.calls, [writeCall, writeCall, writeCall]);
  t.false(outcome.damaged);
});

test('every known kernel gives sector, count and operation, and says what is a passthrough command', (t) => {
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.format'))) {
    const layout = layoutOf(name.slice(0, -'.format'.length));
    const far = layout.sectorBytes === 8 ? 0x1_2345_6789n : 0xfedc_ba98n;
    const outcome = walk(
      pageOf(
        [
          ...event(completion(layout, { device: 0x800000, sector: far, count: 16, operation: 'DS' })),
          ...event(
            completion(layout, {
              device: 0x800000,
              sector: 0xffff_ffff_ffff_ffffn,
              count: 0,
              operation: 'FF',
            }),
          ),
          ...event(
            completion(layout, {
              device: 0x800000,
              sector: 0n,
              count: 0,
              operation: 'W',
              commandBytes: 30,
            }),
          ),
        ],
        layout,
      ),
    );
    t.false(outcome.damaged, name);
    t.deepEqual(outcome.calls, [
      [0x800000, Number(far), 16, 'D'],
      [0x800000, null, 0, 'F'],
      [0x800000, 0, 0, 'W'],
    ]);
    t.deepEqual(outcome.commands, [false, false, true]);
  }
});

test('the missed flag is seen, with and without a number, also on an empty page', (t) => {
  for (const flags of [0x8000_0000, 0xc000_0000]) {
    t.true(walk(pageOf([...event(write)], modern, flags)).missed);
    t.true(walk(pageOf([], modern, flags)).missed);
  }
  t.deepEqual(walk(pageOf([])).calls, []);
  t.false(walk(pageOf([])).damaged);
});

test('what does not fit is damaged, and what came before it counts', (t) => {
  const after = (...words: number[]) => walk(pageOf([...event(write), ...words]));
  for (const [what, outcome] of [
    ['an event that goes beyond the page', after(28)],
    ['a length in its own word that is missing', after(0)],
    ['a length that does not count itself', after(0, 3)],
    ['a huge length', after(0, 0xffff_fff0)],
    ['padding beyond the page', after(29 | (1 << 5), 0x7fff_ffff)],
    ['a time extend without its word', after(30)],
    ['an event too short for its type', after(3, ...write.slice(0, 3))],
    ['an event too short for any type', after(1, modern.id)],
  ] as const) {
    t.true(outcome.damaged, what);
    t.deepEqual(outcome.calls, [writeCall], what);
  }
  t.true(walk(pageOf([...event(write)]), 15).damaged, 'less than a header');
  t.true(walk(pageOf([...event(write)]), 40).damaged, 'less than it says');
});

test('garbage ends, stays inside the page and reports no more than fits', (t) => {
  const word = fc.oneof(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 31 }),
    fc.constantFrom(modern.id, marker.id, 0, 29, 30, 31, 0xffff_ffff, 12),
  );
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 1024 }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.nat({ max: 4200 }),
      (words, commit, lengthBytes) => {
        const page = new RingPage(header, modern, marker);
        new Uint32Array(page.bytes.buffer).set(words);
        new Uint32Array(page.bytes.buffer)[2] = commit % 3 === 0 ? commit : commit % 4090;
        const outcome = walk(page, lengthBytes);
        t.true(outcome.events <= 1020 && outcome.calls.length <= outcome.events);
      },
    ),
    { numRuns: 2_000 },
  );
  t.pass();
});
