import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { openApi } from '../../../src/protocol/arm/openapi.ts';
import { generatedFiles } from '../../../tools/api/generate.ts';

const root = join(import.meta.dirname, '..', '..', '..');

test('what is checked in is what `make api` writes', async (t) => {
  // Not compared by ava: its difference of a megabyte would take minutes.
  for (const { path, text } of await generatedFiles())
    t.true((await readFile(join(root, path), 'utf8')) === text, `${path} is old: run make api`);
});

test('every reference in the OpenAPI document leads somewhere', (t) => {
  const document = openApi() as { components: Record<string, Record<string, unknown>> };
  const wrong = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, one] of Object.entries(value)) {
      if (name === '$ref' && typeof one === 'string') {
        const [, , kind, target] = one.split('/');
        if (document.components[kind!]?.[target!] === undefined) wrong.add(one);
      } else visit(one);
    }
  };
  visit(document);
  t.deepEqual([...wrong], []);
});
