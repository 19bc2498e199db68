/** Formats of kernels 3.10 to 6.18 (see test/golden/trace-format/README.md): what is not exactly understood is an error. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {
  completionLayout,
  markerLayout,
  parseEventFormat,
  parseHeaderPage,
} from '../../../src/mobility-service/capture/trace-format.ts';

const folder = join(import.meta.dirname, '../../golden/trace-format/v1');
const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
const kernels = readdirSync(folder)
  .filter((name) => name.endsWith('.format'))
  .map((name) => name.slice(0, -'.format'.length));

for (const kernel of kernels)
  test(`the fields of a completed request are found on ${kernel}`, (t) => {
    const layout = completionLayout(parseEventFormat(text(`${kernel}.format`)));
    t.deepEqual({ ...layout }, JSON.parse(text(`${kernel}.json`)));
  });

test('marks and pages are found', (t) => {
  t.deepEqual(markerLayout(parseEventFormat(text('vanilla-6.18.print'))), { id: 5, textOffset: 16 });
  t.deepEqual(parseHeaderPage(text('vanilla-6.18.header_page')), {
    commitOffset: 8,
    dataOffset: 16,
    pageBytes: 4096,
  });
});

test('a format without a field, or with another size of it, is refused', (t) => {
  const good = text('vanilla-6.18.format');
  for (const name of ['dev', 'sector', 'nr_sector', 'rwbs', 'cmd', 'common_type'])
    t.throws(
      () =>
        completionLayout(
          parseEventFormat(
            good
              .split('\n')
              .filter((line) => !new RegExp(`field:.*\\b${name}\\b.*;\\toffset`).test(line))
              .join('\n'),
          ),
        ),
      { code: 'TraceFormatUnknown' },
      name,
    );
  for (const [from, to] of [
    ['offset:16;	size:8', 'offset:16;	size:16'],
    ['offset:8;	size:4', 'offset:8;	size:8'],
    ['offset:24;	size:4', 'offset:25;	size:4'],
    ['char rwbs[10]', '__data_loc char[] rwbs'],
    ['ID: ', 'Nr: '],
  ] as const) {
    t.true(good.includes(from), from);
    t.throws(() => completionLayout(parseEventFormat(good.replace(from, to))), {
      code: 'TraceFormatUnknown',
    });
  }
  const header = text('vanilla-6.18.header_page');
  for (const [from, to] of [
    ['size:4080', 'size:4000'],
    ['commit', 'committed'],
    ['offset:0', 'offset:4'],
  ] as const)
    t.throws(() => parseHeaderPage(header.replace(from, to)), { code: 'TraceFormatUnknown' });
});

test('any text is a layout or a named error', (t) => {
  const good = text('vanilla-6.18.format');
  const mangled = fc
    .tuple(fc.nat({ max: good.length }), fc.nat({ max: 40 }), fc.string({ maxLength: 20 }))
    .map(([at, length, put]) => good.slice(0, at) + put + good.slice(at + length));
  fc.assert(
    fc.property(fc.oneof(fc.string(), mangled), (any) => {
      try {
        completionLayout(parseEventFormat(any));
      } catch (error) {
        t.is((error as { code?: string }).code, 'TraceFormatUnknown');
      }
      try {
        parseHeaderPage(any);
      } catch (error) {
        t.is((error as { code?: string }).code, 'TraceFormatUnknown');
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});

const here = '/sys/kernel/tracing/events/block/block_rq_complete/format';
(existsSync(here) ? test : test.skip)('the format of this kernel is understood', (t) => {
  const layout = completionLayout(parseEventFormat(readFileSync(here, 'utf8')));
  t.true(layout.bytesMin > layout.commandOffset);
});
