/**
 * Every `leeward …` that the documents or the program itself tell people to type is a command that there is, with options that
 * it has. Whether it does what is said of it, other tests say.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Command } from 'commander';
import { commands } from '../../src/cli/commands.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';

const root = join(import.meta.dirname, '../..');
const program = commands({
  clock: systemClock,
  signal: new AbortController().signal,
  environment: {},
  runVault: async () => 0,
});
/** Lines that begin with the same word and are no commands: first lines of formats, a line of PostgreSQL's `pg_ident.conf`. */
const noCommands = /^(manifest|object|request) \d|^root leeward$/;
/** Given on to the vault's own program. */
const ofOthers = ['vault init', 'vault run'];

/** What is wrong with what follows `leeward `; undefined: nothing. */
function wrongWith(words: readonly string[]): string | undefined {
  let command: Command = program;
  const path: string[] = [];
  const rest = [...words];
  for (;;) {
    const word = rest[0];
    if (word?.startsWith('--') && command === program) {
      // `leeward --output json policy list`
      rest.splice(0, 2);
      continue;
    }
    const child = command.commands.find(
      (one) => word !== undefined && [one.name(), ...one.aliases()].includes(word),
    );
    if (child === undefined) break;
    command = child;
    path.push(rest.shift()!);
  }
  if (ofOthers.includes(path.join(' '))) return undefined;
  if (command.commands.length > 0 && rest.length > 0 && !rest[0]!.startsWith('-') && !/^[<…]/.test(rest[0]!))
    return `no command ${[...path, rest[0]].join(' ')}`;
  const known = [...command.options, ...program.options].map(({ long }) => long);
  const strange = rest
    .filter((word) => /^--[a-z]/.test(word))
    .map((word) => word.split('=')[0]!)
    .find((word) => word !== '--help' && !known.includes(word));
  return strange === undefined ? undefined : `${path.join(' ')} has no ${strange}`;
}

/** Up to where a shell would take it for something else, or a sentence goes on. */
const wordsOf = (text: string): string[] =>
  text
    .replace(/\s(#|\||>|&&|;).*$/, '')
    .split(/\s+/)
    .map((word) => word.replace(/[.,;:)\]\\]+$/, '').replace(/^[[(]/, ''))
    .filter((word) => word !== '');

async function filesOf(...patterns: string[]): Promise<string[]> {
  return (await run('git', ['ls-files', ...patterns], { cwd: root, timeoutMilliseconds: 120_000 }))
    .trim()
    .split('\n');
}

test('every command in the documents can be typed', async (t) => {
  const wrong: string[] = [];
  let count = 0;
  for (const path of await filesOf('README.md', 'docs/*.md', 'docs/**/*.md', 'bench/README.md')) {
    const text = await readFile(join(root, path), 'utf8');
    const found = [
      ...[...text.matchAll(/`leeward ([^`\n]+)`/g)].map((match) => match[1]!),
      ...[...text.matchAll(/^(?:\s*|.*\|\s*)leeward ([a-z-][^\n]*)$/gm)].map((match) => match[1]!),
    ];
    for (const command of found) {
      if (noCommands.test(command)) continue;
      count += 1;
      const why = wrongWith(wordsOf(command));
      if (why !== undefined) wrong.push(`${path}: leeward ${command}: ${why}`);
    }
  }
  t.true(count > 10, 'there are some');
  t.deepEqual(wrong, []);
});

test('every command that the program tells people to type can be typed', async (t) => {
  const wrong: string[] = [];
  let count = 0;
  for (const path of await filesOf('src/*.ts', 'src/**/*.ts', 'tools/**/*.ts')) {
    const text = await readFile(join(root, path), 'utf8');
    for (const match of text.matchAll(/[`'"]leeward ((?:--)?[a-z][a-z-]*(?:\s[^`'"\n]*)?)/g)) {
      if (noCommands.test(match[1]!)) continue;
      count += 1;
      const why = wrongWith(wordsOf(match[1]!.replaceAll(/\$\{[^}]*\}?/g, '…')));
      if (why !== undefined) wrong.push(`${path}: leeward ${match[1]}: ${why}`);
    }
  }
  t.true(count > 20, 'there are some');
  t.deepEqual(wrong, []);
});
