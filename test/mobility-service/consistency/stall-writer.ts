/**
 * A writer that measures how long the kernel held it. Arguments: a file, and `buffered` or `synced`. Prints `writing` after its
 * first write, and at the end of its input the longest time in milliseconds that one write took.
 */
import { fdatasyncSync, openSync, writeSync } from 'node:fs';

const [path, kind] = process.argv.slice(2) as [string, string];
const file = openSync(path, 'w');
const bytes = Buffer.alloc(4096, 'w');
let longest = 0;
let count = 0;
let isOver = false;
process.stdin.on('end', () => {
  isOver = true;
});
process.stdin.resume();
const write = (): void => {
  const since = performance.now();
  // New blocks now and then, as programs that append need them; the same ones otherwise.
  writeSync(file, bytes, 0, bytes.byteLength, (count++ % 256) * bytes.byteLength);
  if (kind === 'synced') fdatasyncSync(file);
  longest = Math.max(longest, performance.now() - since);
  if (count === 1) process.stdout.write('writing\n');
  if (isOver) process.stdout.write(`${Math.ceil(longest)}\n`);
  else setTimeout(write, 5);
};
write();
