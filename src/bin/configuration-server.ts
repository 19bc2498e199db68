#!/usr/bin/env node
/**
 * configuration-server run            serve until SIGTERM
 * configuration-server init           write a settings file
 * configuration-server register       register with a vault, with a key downloaded there
 * configuration-server enrolment-key  the file that machines and process servers enrol with
 */
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import '../platform/threads.ts';
import { parseArgs } from 'node:util';
import { Identity } from '../configuration-server/registration/identity.ts';
import { startConfigurationServer } from '../configuration-server/service.ts';
import { ConfigurationServerSettings } from '../configuration-server/settings.ts';
import { systemClock } from '../platform/clock.ts';
import { LeewardError, renderError } from '../platform/errors.ts';
import { readWhole, systemFiles, writeDurably } from '../platform/files.ts';
import { createLog } from '../platform/log.ts';
import { systemRandom } from '../platform/random.ts';
import { readSettings } from '../platform/settings.ts';

const usage = `usage:
  configuration-server init [--settings FILE] [--data FOLDER] --host NAME… [--listen ADDRESS] [--port PORT]
  configuration-server register [--settings FILE] --key-file FILE [--anew]
  configuration-server enrolment-key [--settings FILE] --output FILE
  configuration-server run [--settings FILE]

  --settings FILE   (/etc/leeward/configuration-server.json)
  --data FOLDER     keys, certificates, database (/var/lib/leeward/configuration-server)
  --host NAME       name or address under which the site's machines reach it; may be repeated
  --port PORT       (443)
  --key-file FILE   a .VaultCredentials file, five days old at most
  --anew            let go of an earlier registration and of what was assigned by it; then restart the service`;

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      settings: { type: 'string', default: '/etc/leeward/configuration-server.json' },
      data: { type: 'string', default: '/var/lib/leeward/configuration-server' },
      host: { type: 'string', multiple: true },
      listen: { type: 'string', default: '0.0.0.0' },
      port: { type: 'string', default: '443' },
      'key-file': { type: 'string' },
      output: { type: 'string' },
      anew: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const path = resolve(values.settings);
  const common = { clock: systemClock, random: systemRandom, files: systemFiles };
  const open = async () => {
    const settings = await readSettings(ConfigurationServerSettings, path);
    return { settings, identity: new Identity({ dataFolder: settings.dataFolder, ...common }) };
  };
  const [verb] = positionals;
  if (values.help || positionals.length !== 1) {
    console.log(usage);
    process.exitCode = values.help ? 0 : 1;
  } else if (verb === 'init') {
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 0 || port > 65_535)
      throw wrong('--port takes a number up to 65535');
    if (!values.host) throw wrong('--host names how machines reach this one; at least one is needed');
    if ((await systemFiles.sizeBytes(path)) !== undefined) throw wrong(`${path} is there already`);
    const settings = ConfigurationServerSettings.parse({
      dataFolder: resolve(values.data),
      listen: { host: values.listen, port },
      hosts: values.host,
    });
    await systemFiles.makeFolder(dirname(path));
    await writeDurably(systemFiles, path, Buffer.from(`${JSON.stringify(settings, null, 2)}\n`));
    console.log(`${path} is written\n\nnext: configuration-server register --key-file FILE`);
  } else if (verb === 'register') {
    const { identity } = await open();
    const keyFile = values['key-file'];
    if (keyFile === undefined) throw wrong('--key-file names the key that was downloaded from the vault');
    const key = await readWhole(systemFiles, keyFile, 1 << 20);
    if (key === undefined) throw wrong(`${keyFile} is not there`);
    if (values.anew) await identity.forgetRegistration();
    const { fabricName, vaultId } = await identity.register(key.toString(), hostname());
    console.log(`registered as ${fabricName} with ${vaultId}`);
  } else if (verb === 'enrolment-key') {
    const { settings, identity } = await open();
    if (values.output === undefined) throw wrong('--output names the file to write');
    const key = await identity.enrolmentKey(settings.hosts, settings.listen.port);
    await writeDurably(systemFiles, resolve(values.output), Buffer.from(`${JSON.stringify(key, null, 2)}\n`));
    console.log(`${values.output} is written; whoever has it may enrol machines here`);
  } else if (verb === 'run') {
    const { settings } = await open();
    const stop = new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    });
    await using server = await startConfigurationServer(settings, {
      ...common,
      log: createLog('configuration-server', settings.logLevel),
    });
    await Promise.race([stop, server.failed]);
  } else throw wrong(`there is no ${verb}\n${usage}`);
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}

function wrong(summary: string): LeewardError {
  return new LeewardError({
    code: 'WrongUsage',
    summary,
    possibleCauses: 'A misspelt option.',
    recommendedAction: 'See configuration-server --help.',
  });
}
