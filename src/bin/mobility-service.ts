#!/usr/bin/env node
/**
 * mobility-service [--settings FOLDER] [--state FOLDER] [--runtime FOLDER] [--thaw-helper FILE]   until SIGTERM
 * mobility-service enrol --configuration-server HOST[:PORT] --key-file FILE [--replace]            makes it a machine of a site
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
mobility-service enrol --configuration-server HOST[:PORT] --key-file FILE: makes this a machine of a site; a copy of
                                      another machine becomes one of its own
mobility-service status: says what the running one does

  --settings FOLDER     has assignment.json (/etc/leeward/mobility-service)
  --state FOLDER        keeps change maps over a restart (/var/lib/leeward/mobility-service)
  --runtime FOLDER      status and freeze note, on tmpfs (/run/leeward-mobility)
  --thaw-helper FILE    without it file systems are never frozen
  --log-level LEVEL     error, warn, info, debug (info)
  --power-off PROGRAM   shuts the machine down when its site says so before a failover (systemctl poweroff)
  --key-file FILE       of enrol: the enrolment key that the configuration server made
  --replace             of enrol: this machine takes the place of the one that it was copied from, which is gone for good
  --machine-root FOLDER what this machine is (board, network cards, disks) is read below it (/)
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
      'power-off': { type: 'string' },
      'configuration-server': { type: 'string' },
      'key-file': { type: 'string' },
      replace: { type: 'boolean', default: false },
      'machine-root': { type: 'string', default: '/' },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) console.log(usage);
  else if (positionals.length > 1 || !['status', 'enrol', undefined].includes(positionals[0]))
    throw new Error(`${positionals.join(' ')} is not a command; --help says what is`);
  else if (!['text', 'json'].includes(values.output))
    throw new Error(`--output ${values.output}: text or json`);
  else if (positionals[0] === 'status') {
    const status = await readStatus(values);
    console.log(
      values.output === 'json' ? JSON.stringify(status, undefined, 2) : statusText(status, systemClock.now()),
    );
  } else if (positionals[0] === 'enrol') {
    if (values['key-file'] === undefined) throw new Error('--key-file names the enrolment key');
    const { enrol } = await import('../mobility-service/control/enrol.ts');
    const agent = await enrol({
      state: values.state,
      runtime: values.runtime,
      machineRoot: values['machine-root'],
      keyFile: values['key-file'],
      server: values['configuration-server'],
      replace: values.replace,
      say: (text) => console.error(text),
    });
    console.log(`enrolled as ${agent.name} (${agent.agentId}) at ${agent.urls.join(', ')}`);
  } else {
    const powerOff = values['power-off'];
    const stop = new AbortController();
    // From the first moment: without a handler the signal would end it. Until there is something to reload all is read anyway.
    let onHangUp = () => {};
    process.on('SIGHUP', () => onHangUp());
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());
    await runService(
      {
        ...values,
        thawHelper: values['thaw-helper'],
        machineRoot: values['machine-root'],
        powerOff: powerOff === undefined ? undefined : [powerOff],
      },
      createLog('mobility-service', values['log-level']),
      stop.signal,
      (reload) => {
        onHangUp = reload;
      },
    );
  }
} catch (error) {
  console.error(renderError(error));
  process.exitCode = isRefusal(error) ? refusalExitCode : 1;
}
