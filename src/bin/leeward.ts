#!/usr/bin/env node
/** `leeward`: the command line. Drives a vault through its API; prints one error chain and ends: 1, or 130 when interrupted. */
import { basename, relative } from 'node:path';
import { commands } from '../cli/commands.ts';
import { asCalled, setCalledAs } from '../cli/output.ts';
import { systemClock } from '../platform/clock.ts';
import { renderError } from '../platform/errors.ts';
import { runInherited } from '../platform/exec.ts';

const script = process.argv[1]!;
// Whoever wraps it (a script that enters a network namespace, say) says how it is called.
const wrapper = process.env.LEEWARD_COMMAND;
if (wrapper !== undefined && wrapper !== '') setCalledAs(wrapper);
else if (basename(script) !== 'leeward') setCalledAs(`node ${relative(process.cwd(), script)}`);
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

try {
  await commands({
    clock: systemClock,
    signal: stop.signal,
    environment: process.env,
    runVault: (args) =>
      runInherited(process.execPath, [
        // Buffers count as heap, and the small heap that V8 begins with would be collected every 5 MB that pass through.
        '--initial-old-space-size=256',
        new URL('./vault.ts', import.meta.url).pathname,
        ...args,
      ]),
  }).parseAsync();
} catch (error) {
  // Ctrl-C: what was under way at the vault goes on, and an aborted request is no fault of anybody's.
  if (stop.signal.aborted) process.exitCode = 130;
  else {
    console.error(asCalled(renderError(error)));
    process.exitCode = 1;
  }
}
