/** Goal: every condition that the vault can raise is on the page that people are sent to. */
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const page = read('docs/operations/health.md');

const codes = readdirSync(new URL('../../src/vault/health/', import.meta.url)).flatMap((file) =>
  [...read(`src/vault/health/${file}`).matchAll(/(?:code: |^ {4}|low\(\s*)'([A-Z][A-Za-z]+)',$/gm)].map(
    ([, code]) => code!,
  ),
);

test('every condition of the vault is explained where people look', (t) => {
  t.true(codes.length >= 20, codes.join(' '));
  for (const code of new Set(codes)) t.true(page.includes(`\`${code}\``), `${code} is not on the page`);
});
