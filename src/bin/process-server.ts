#!/usr/bin/env -S node --initial-old-space-size=256
/**
 * process-server --settings FILE          serve until SIGTERM
 * process-server status --settings FILE   what the running one says of itself, as JSON
 */
import '../platform/threads.ts';
import { parseArgs } from 'node:util';
import { renderError } from '../platform/errors.ts';
import { readSettings } from '../platform/settings.ts';
import { startDaemon } from '../process-server/control/daemon.ts';
import { openStore } from '../process-server/outlet/open-store.ts';
import { ProcessServerSettings } from '../protocol/control/process-server-settings.ts';

try {
  const { values, positionals } = parseArgs({
    options: { settings: { type: 'string', default: '/etc/leeward/process-server.json' } },
    allowPositionals: true,
  });
  const settings = await readSettings(ProcessServerSettings, values.settings);
  if (positionals[0] === 'status') {
    const answer = await fetch(`http://127.0.0.1:${settings.statusPort}/status`, {
      signal: AbortSignal.timeout(10_000),
    });
    console.log(JSON.stringify(await answer.json(), undefined, 2));
  } else {
    const daemon = await startDaemon(settings, await openStore(settings.cache));
    process.on('SIGHUP', () => void daemon.reread());
    const stop = Promise.withResolvers<void>();
    process.once('SIGTERM', stop.resolve);
    process.once('SIGINT', stop.resolve);
    await stop.promise;
    await daemon[Symbol.asyncDispose]();
  }
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}
