/**
 * Compiles the thaw helper: one static binary without any dependency, so that the same file runs on every distribution.
 * Used by the packer and, through the cache, by tests and the demo on this machine.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const source = 'src/mobility-service/consistency/thaw-helper.c';

/** Static-PIE, so that it is placed anew at each start; no lazy binding; stack protector and clash protection; the
 * build's path and time are kept out, so that the same source gives the same bytes. */
const flags = [
  '-std=c17',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fstack-protector-strong',
  '-fstack-clash-protection',
  ...(process.arch === 'x64' ? ['-fcf-protection'] : []),
  '-D_FORTIFY_SOURCE=2',
  '-fPIE',
  '-static-pie',
  '-Wl,-z,relro,-z,now,-z,noexecstack',
  '-Wl,--build-id=none',
  '-s',
];

/** Compiles to `outputPath`. */
export const compileThawHelper = (outputPath: string): void => compileStatic(source, outputPath);

/** The path of a helper for this machine, compiled when its source changed. Throws without a C compiler. */
export const localThawHelper = (): string => localStatic(source, 'thaw-helper', 'leeward-thaw');

export function compileStatic(source: string, outputPath: string): void {
  mkdirSync(dirname(outputPath), { recursive: true });
  const draft = `${outputPath}.${process.pid}`;
  execFileSync('gcc', [...flags, '-o', draft, source], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  renameSync(draft, outputPath);
}

export function localStatic(source: string, name: string, program: string): string {
  const digest = createHash('sha256')
    .update(readFileSync(join(root, source)))
    .update(flags.join(' '))
    .digest('hex');
  const path = join(root, '.cache', `${name}-${digest.slice(0, 16)}`, program);
  try {
    accessSync(path);
  } catch {
    compileStatic(source, path);
  }
  return path;
}
