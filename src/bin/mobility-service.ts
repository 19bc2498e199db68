#!/usr/bin/env node
/**
 * mobility-service [--settings FOLDER] [--state FOLDER] [--runtime FOLDER] [--thaw-helper FILE]   until SIGTERM
 * mobility-service status [--runtime FOLDER] [--output text|json]                                  what it says of itself
 *
 * Exit codes: 0 after SIGTERM; 77 when the other side refused it for good (the unit does not start it again); 1 otherwise.
 */
import { parseArgs } from 'node:util';
import { isRefusal, readStatus, refusalExitCode, runService } from '../mobility-service/control/service.ts';
import { statusText } from '../mobility-service/control/status-text.ts';
import { systemClock } from '../platform/clock.ts';
import { renderError } from '../platform/errors.ts';
import { createLog } from '../platform/log.ts';

const usage = `mobility-service: replicates this machine's disks to a process server, until SIGTERM
mobility-service status: says what the running one does

  --settings FOLDER     has assignment.json (/etc/leeward/mobility-service)
  --state FOLDER        keeps change maps over a restart (/var/lib/leeward/mobility-service)
  --runtime FOLDER      status and freeze note, on tmpfs (/run/leeward-mobility)
  --thaw-helper FILE    without it file systems are never frozen
  --log-level LEVEL     error, warn, info, debug (info)
  --output FORMAT       of status: text, or json for programs (text)

SIGHUP makes it read assignment.json again; it goes on with the old one when the new one is not valid.`;

try {
  const { values, positionals } = parseArgs({
    options: {
      settings: { type: 'string', default: '/etc/leeward/mobility-service' },
      state: { type: 'string', default: '/var/lib/leeward/mobility-service' },
      runtime: { type: 'string', default: '/run/leeward-mobility' },
      'thaw-helper': { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      output: { type: 'string', default: 'text' },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) console.log(usage);
  else if (positionals.length > 1 || (positionals[0] !== undefined && positionals[0] !== 'status'))
    throw new Error(`${positionals.join(' ')} is not a command; --help says what is`);
  else if (!['text', 'json'].includes(values.output))
    throw new Error(`--output ${values.output}: text or json`);
  else if (positionals[0] === 'status') {
    const status = await readStatus(values);
    console.log(
      values.output === 'json' ? JSON.stringify(status, undefined, 2) : statusText(status, systemClock.now()),
    );
  } else {
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());
    await runService(
      { ...values, thawHelper: values['thaw-helper'] },
      createLog('mobility-service', values['log-level']),
      stop.signal,
      (reload) => process.on('SIGHUP', reload),
    );
  }
} catch (error) {
  console.error(renderError(error));
  process.exitCode = isRefusal(error) ? refusalExitCode : 1;
}
