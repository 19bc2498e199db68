import test from 'ava';
import { LeewardError } from '../../../src/platform/errors.ts';
import { parseFilter, writeFilter } from '../../../src/protocol/arm/filter.ts';

const fields = ['sourceFabricName', 'instanceType', 'state'] as const;

test('terms joined by and are read, fields and words without regard to case', (t) => {
  t.deepEqual(parseFilter("sourceFabricName eq 'site 1' and instanceType eq 'InMageRcm'", fields), {
    sourceFabricName: 'site 1',
    instanceType: 'InMageRcm',
  });
  t.deepEqual(parseFilter("  SOURCEFABRICNAME EQ 'x'   AND  State eq bare ", fields), {
    sourceFabricName: 'x',
    state: 'bare',
  });
});

test('nothing, and an empty value, narrow nothing', (t) => {
  for (const text of [undefined, null, '', '  ', "state eq ''"]) t.deepEqual(parseFilter(text, fields), {});
});

test('a value may hold quotes, commas, the word and, and whole terms', (t) => {
  const value = "it's a, b and state eq 'x'";
  t.deepEqual(parseFilter(writeFilter({ state: value }), fields), { state: value });
});

test('what is not known is refused by name, with the fields that are', (t) => {
  for (const [text, why] of [
    ["colour eq 'red'", 'colour'],
    ["state ne 'x'", 'ne'],
    ["state eq 'x' or state eq 'y'", 'or state'],
    ["state eq 'x' and", 'goes on'],
    ["state eq 'x' and state eq 'y'", 'twice'],
    ["state eq 'x", "'x"],
    ["(state eq 'x')", '(state'],
    ["state eq 'x'state eq 'y'", 'goes on'],
    ['state', 'state'],
    ["state eq 'x' and ".repeat(3000), 'longer'],
  ] as const) {
    const error = t.throws(() => parseFilter(text, fields), { instanceOf: LeewardError }, text.slice(0, 50));
    t.true(error.summary.includes(why), `${text.slice(0, 60)}: ${error.summary}`);
    t.true(error.recommendedAction.includes('sourceFabricName'));
  }
});

test('what was written is read back', (t) => {
  t.is(writeFilter({ a: undefined }), undefined);
  t.deepEqual(parseFilter(writeFilter({ state: "o'clock", instanceType: 'b' }), fields), {
    state: "o'clock",
    instanceType: 'b',
  });
});
