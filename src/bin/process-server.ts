#!/usr/bin/env -S node --initial-old-space-size=256
/**
 * process-server run --settings FILE      serve until SIGTERM; so it does without a verb
 * process-server status --settings FILE   what the running one says of itself, as JSON
 * process-server enrol …                  makes it a process server of a site, and writes its settings file
 */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import '../platform/threads.ts';
import { parseArgs } from 'node:util';
import { systemClock } from '../platform/clock.ts';
import { LeewardError, renderError } from '../platform/errors.ts';
import { systemFiles } from '../platform/files.ts';
import { createLog } from '../platform/log.ts';
import { systemRandom } from '../platform/random.ts';
import { readSettings } from '../platform/settings.ts';
import { type Daemon, startDaemon } from '../process-server/control/daemon.ts';
import { enrolProcessServer, runSite } from '../process-server/control/site.ts';
import { openStore } from '../process-server/outlet/open-store.ts';
import { agentUrl, readEnrolmentKey } from '../protocol/control/agent-client.ts';
import { ProcessServerSettings } from '../protocol/control/process-server-settings.ts';

const usage = `usage:
  process-server enrol  [--settings FILE] --key-file FILE [--configuration-server HOST] [--folder FOLDER] [--name NAME]
                        [--host NAME]… [--port PORT] [--status-port PORT] [--spool-gib GIB]
  process-server run    [--settings FILE]
  process-server status [--settings FILE]

  --settings FILE   (/etc/leeward/process-server.json)
  --key-file FILE   of configuration-server enrolment-key
  --folder FOLDER   keys, certificates, spool (/var/lib/leeward/process-server)
  --host NAME       name or address under which machines reach it; may be repeated
  --spool-gib GIB   how much may wait there while the vault is away (100)`;

try {
  const { values, positionals } = parseArgs({
    options: {
      settings: { type: 'string', default: '/etc/leeward/process-server.json' },
      // Of enrol:
      'configuration-server': { type: 'string' },
      'key-file': { type: 'string' },
      folder: { type: 'string', default: '/var/lib/leeward/process-server' },
      name: { type: 'string', default: hostname() },
      host: { type: 'string', multiple: true },
      port: { type: 'string', default: '9443' },
      'status-port': { type: 'string', default: '9444' },
      'spool-gib': { type: 'string', default: '100' },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const surroundings = {
    clock: systemClock,
    random: systemRandom,
    files: systemFiles,
    log: createLog('process-server'),
  };
  const [verb = 'run'] = positionals;
  if (values.help) console.log(usage);
  else if (!['run', 'enrol', 'status'].includes(verb) || positionals.length > 1)
    throw wrong(`there is no ${positionals.join(' ')}`);
  else if (verb === 'enrol') {
    // A port of 0 is any free one.
    for (const name of ['port', 'status-port', 'spool-gib'] as const)
      if (!(Number(values[name]) >= 0) || values[name] === '')
        throw wrong(`--${name} takes a number, not ${values[name]}`);
    const keyFile = values['key-file'];
    const server = values['configuration-server'];
    if (keyFile === undefined) throw wrong('--key-file names the enrolment key of the configuration server');
    await enrolProcessServer(
      {
        folder: resolve(values.folder),
        settingsPath: resolve(values.settings),
        name: values.name.slice(0, 40),
        key: readEnrolmentKey(
          await readFile(keyFile, 'utf8').catch((cause: unknown) => {
            throw wrong(`${keyFile} cannot be read`, cause);
          }),
          keyFile,
        ),
        url: server === undefined ? undefined : agentUrl(server),
        hosts: values.host ?? [hostname()],
        port: Number(values.port),
        statusPort: Number(values['status-port']),
        spoolBytes: Math.round(Number(values['spool-gib']) * 2 ** 30),
      },
      surroundings,
    );
    console.log(`enrolled as ${values.name}; ${values.settings} is written`);
  } else if (verb === 'status') {
    const settings = await readSettings(ProcessServerSettings, values.settings);
    const answer = await fetch(`http://127.0.0.1:${settings.statusPort}/status`, {
      signal: AbortSignal.timeout(10_000),
    });
    console.log(JSON.stringify(await answer.json(), undefined, 2));
  } else {
    const settings = await readSettings(ProcessServerSettings, values.settings);
    const stop = new AbortController();
    process.once('SIGTERM', () => stop.abort());
    process.once('SIGINT', () => stop.abort());
    // For as long as the process lives: without a handler the signal would end it. Whoever begins reads everything anyway.
    let daemon: Daemon | undefined;
    process.on('SIGHUP', () => void daemon?.reread());
    // Around again when a certificate was renewed: a clean stop and a clean start within one process.
    while (!stop.signal.aborted) {
      daemon = await startDaemon(settings, await openStore(settings.cache));
      const over = new AbortController();
      const end = AbortSignal.any([stop.signal, over.signal]);
      const site = runSite({ ...surroundings, ...daemon, settings, onRenewed: () => over.abort() }, end);
      await Promise.race([ended(end), site.then(() => ended(end))]);
      over.abort();
      await site;
      await daemon[Symbol.asyncDispose]();
      daemon = undefined;
    }
  }
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}

function wrong(summary: string, cause?: unknown): LeewardError {
  return new LeewardError({
    code: 'WrongUsage',
    summary,
    possibleCauses: 'A misspelt verb, option or path.',
    recommendedAction: 'See process-server --help.',
    cause,
  });
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
