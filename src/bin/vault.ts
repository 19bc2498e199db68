#!/usr/bin/env -S node --initial-old-space-size=256
/** The vault's main: `init` makes a data folder, `run` serves it until SIGTERM or Ctrl-C. */
import { resolve } from 'node:path';
import '../platform/threads.ts';
import { parseArgs } from 'node:util';
import { systemClock } from '../platform/clock.ts';
import { LeewardError, renderError } from '../platform/errors.ts';
import { systemFiles } from '../platform/files.ts';
import { createLog } from '../platform/log.ts';
import { systemRandom } from '../platform/random.ts';
import { initVault, startVault } from '../vault/vault-service.ts';

const usage = `usage:
  vault init --data FOLDER [--host NAME]… [--listen ADDRESS] [--port PORT] [--api-port PORT]
             [--public-url URL] [--make-volume GIB] [--libvirt URI]
  vault run  --data FOLDER`;

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      data: { type: 'string', default: '/var/lib/leeward/vault' },
      host: { type: 'string', multiple: true, default: ['localhost', '127.0.0.1'] },
      listen: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8443' },
      'api-port': { type: 'string', default: '8444' },
      'public-url': { type: 'string' },
      'make-volume': { type: 'string' },
      libvirt: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const surroundings = {
    clock: systemClock,
    random: systemRandom,
    files: systemFiles,
    log: createLog('vault'),
  };
  const dataFolder = resolve(values.data);
  if (values.help || positionals.length !== 1) {
    console.log(usage);
    process.exitCode = values.help ? 0 : 1;
  } else if (positionals[0] === 'init') {
    const gibibytes = values['make-volume'] === undefined ? undefined : Number(values['make-volume']);
    if (gibibytes !== undefined && !(gibibytes > 0)) throw wrong('--make-volume takes a size in GiB');
    const [port, apiPort] = (['port', 'api-port'] as const).map((name) => {
      const number = Number(values[name]);
      if (!Number.isInteger(number) || number < 0 || number > 65_535)
        throw wrong(`--${name} takes a number up to 65535`);
      return number;
    });
    await initVault(
      {
        dataFolder,
        hosts: values.host,
        listen: values.listen,
        port: port!,
        apiPort: apiPort!,
        publicUrl: values['public-url'],
        volumeBytes: gibibytes === undefined ? undefined : Math.round(gibibytes * 2 ** 30),
        libvirtUri: values.libvirt,
      },
      surroundings,
    );
    console.log(`a vault is ready in ${dataFolder}\n\nnext: leeward --data ${dataFolder} vault run`);
  } else if (positionals[0] === 'run') {
    const stopping = new AbortController();
    const stop = new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const)
        process.once(signal, () => {
          stopping.abort();
          resolve();
        });
    });
    const started = startVault(dataFolder, surroundings, stopping.signal).catch((error: unknown) => {
      // Stopped before it had started.
      if (error === stopping.signal.reason) return undefined;
      throw error;
    });
    await using vault = await started;
    if (vault) await Promise.race([stop, vault.failed]);
  } else throw wrong(`there is no ${positionals[0]}\n${usage}`);
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}

function wrong(summary: string): LeewardError {
  return new LeewardError({
    code: 'WrongUsage',
    summary,
    possibleCauses: 'A misspelt option.',
    recommendedAction: 'See vault --help.',
  });
}
