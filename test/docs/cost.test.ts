/** Goal: what the page says that the service may cost a machine is what enforces it, and each proof that it names exists. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/operations/install-agent.md'), 'utf8');
const unit = readFileSync(join(root, 'appliance/agent/leeward-mobility.service'), 'utf8');
const rows = page
  .slice(
    page.indexOf('### What the service may cost a machine'),
    page.indexOf('### Disks that are not offered'),
  )
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) => line.split('|').map((cell) => cell.trim()));

test('the unit enforces what the page promises', (t) => {
  const promised = rows.flatMap(([, , limit]) =>
    [...limit!.matchAll(/`([A-Z]\w+=\w+%?)`/g)].map(([, text]) => text),
  );
  for (const name of ['MemoryMax', 'CPUQuota', 'CPUWeight', 'IOWeight', 'LimitNOFILE', 'TasksMax'])
    t.true(
      promised.some((text) => text!.startsWith(`${name}=`)),
      `${name} is not on the page`,
    );
  for (const text of promised) t.true(unit.split('\n').includes(text!), `${text} is not in the unit`);
});

test('each line of the table names its proof by file and title', (t) => {
  const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.test.ts'),
  );
  for (const [, what, , , proof] of rows) {
    t.not(proof, '', what);
    let text = '';
    for (const [, file] of proof!.matchAll(/`([\w/.-]+\.test\.ts)`/g)) {
      const found = tests.find((name) => join('test', name).endsWith(file!));
      if (found === undefined) t.fail(`there is no ${file}`);
      else text += readFileSync(join(root, 'test', found), 'utf8');
    }
    // Titles are put together in loops: their first words before a colon or a comma, and their last, are in the file.
    for (const [, title] of proof!.matchAll(/\*([^*]+)\*/g)) {
      if (text === '') continue;
      const parts = title!.split(/[:,] | ext4 /).map((part) => part.trim());
      const isThere = parts.some((part) => part.split(' ').length > 2 && text.includes(part));
      t.true(isThere, `no test of ${what} is called ${title}`);
    }
  }
});
