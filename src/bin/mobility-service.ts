#!/usr/bin/env node
/**
 * mobility-service [--settings FOLDER] [--state FOLDER] [--runtime FOLDER] [--thaw-helper FILE]   until SIGTERM
 * mobility-service status [--runtime FOLDER]                                                       what it says of itself
 */
import { parseArgs } from 'node:util';
import { readStatus, runService } from '../mobility-service/control/service.ts';
import { renderError } from '../platform/errors.ts';
import { createLog } from '../platform/log.ts';

const usage = `mobility-service: replicates this machine's disks to a process server, until SIGTERM
mobility-service status: says what the running one does

  --settings FOLDER     has assignment.json (/etc/leeward/mobility-service)
  --state FOLDER        keeps change maps over a restart (/var/lib/leeward/mobility-service)
  --runtime FOLDER      status and freeze note, on tmpfs (/run/leeward-mobility)
  --thaw-helper FILE    without it file systems are never frozen
  --log-level LEVEL     error, warn, info, debug (info)`;

try {
  const { values, positionals } = parseArgs({
    options: {
      settings: { type: 'string', default: '/etc/leeward/mobility-service' },
      state: { type: 'string', default: '/var/lib/leeward/mobility-service' },
      runtime: { type: 'string', default: '/run/leeward-mobility' },
      'thaw-helper': { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) console.log(usage);
  else if (positionals[0] === 'status') console.log(JSON.stringify(await readStatus(values), undefined, 2));
  else {
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());
    await runService(
      { ...values, thawHelper: values['thaw-helper'] },
      createLog('mobility-service', values['log-level']),
      stop.signal,
    );
  }
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}
