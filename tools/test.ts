/**
 * What `make test` runs: formatter, linter, types, then every test. Shows each test as it ends, the longest files, and
 * closes with one line, `N passed, N failed, N skipped`, counted from what the runner reported.
 *
 * Arguments are passed on to the runner (file names, --match).
 */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { removeLeftovers } from './leftovers.ts';

const started = performance.now();
const seconds = () => `${((performance.now() - started) / 1000).toFixed(0)} s`;

for (const [program, ...args] of [
  ['biome', 'check', '.'],
  ['tsc', '--pretty', 'false'],
] as const) {
  const { status } = spawnSync(program, args, { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`${program} found something to mend; no test was run`);
    process.exit(1);
  }
}
console.log(`check: clean after ${seconds()}`);
for (const path of await removeLeftovers()) console.log(`left by a run that was killed, removed: ${path}`);

const counts = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const runner = spawn('ava', ['--tap', ...process.argv.slice(2)], { stdio: ['ignore', 'pipe', 'inherit'] });
const ended = new Promise<number>((resolve) => {
  runner.once('close', (code) => resolve(code ?? 1));
});
let inDiagnosis = false;
for await (const line of createInterface({ input: runner.stdout })) {
  const result = /^(not )?ok \d+ - (.*?)( # (SKIP|TODO)\b.*)?$/i.exec(line);
  if (result) {
    const [, not, title, , directive] = result;
    const kind = directive ? 'skipped' : not ? 'failed' : 'passed';
    counts[kind]++;
    if (kind === 'failed') failures.push(title!);
    console.log(
      `${kind === 'passed' ? '  ok' : kind === 'failed' ? 'FAIL' : 'skip'} ${title} (${seconds()})`,
    );
    inDiagnosis = kind === 'failed';
  } else if (inDiagnosis || /^(Bail out|# )/.test(line)) console.log(line);
}
const exitCode = await ended;
for (const title of failures) console.log(`failed: ${title}`);
console.log(`finished after ${seconds()}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
if (exitCode !== 0 || counts.failed > 0 || counts.passed === 0) process.exit(1);
