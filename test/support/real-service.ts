/**
 * The mobility service as it is started on a machine (its own process, real trace rings, real disks, TLS) against a
 * receiver in the test's process. For what can only be judged on a real machine: freezing, resizing, memory, exit codes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import { tryRun } from '../../src/platform/exec.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import { localThawHelper } from '../../tools/agent/thaw-helper.ts';
import { localWriteBrake } from '../../tools/agent/write-brake.ts';
import { serveLinks } from './link-server.ts';
import { testCertificates } from './test-certificates.ts';

export interface RealServiceOptions {
  readonly paths: readonly string[];
  readonly serve: (link: Link) => Promise<void>;
  readonly policy?: Partial<{
    crashConsistentSeconds: number;
    applicationConsistentSeconds: number;
    freezeMillisecondsMax: number;
    holdMillisecondsMax: number;
  }>;
  /** Whether it may hold writers back; default: yes. */
  readonly hasBrake?: boolean;
  /** The program and its first arguments; default: this tree's, under this Node. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where what the machine is lies (`machine-facts.ts`). Default: this host. */
  readonly machineRoot?: string;
}

export interface StartedService {
  readonly child: ChildProcess;
  /** What it logged so far. */
  said(): string;
  /** Ends it in good order; answers its exit code, or the signal that it died of. */
  stop(): Promise<number | string | null>;
}

export interface RealService {
  readonly folder: string;
  readonly itemId: string;
  readonly diskIds: readonly string[];
  start(): StartedService;
  status(): Promise<Record<string, unknown> & { readonly residentBytes: number }>;
}

export async function makeRealService(
  t: ExecutionContext<unknown>,
  options: RealServiceOptions,
): Promise<RealService> {
  const itemId = crypto.randomUUID();
  const diskIds = options.paths.map(() => crypto.randomUUID());
  const folder = await mkdtemp(join(tmpdir(), 'leeward-real-service-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  // A clean stop leaves the kernel recording, on purpose.
  t.teardown(() =>
    tryRun('rmdir', [`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`], {
      timeoutMilliseconds: 10_000,
    }),
  );
  const certificates = await testCertificates(['process-server/test', itemId]);
  t.teardown(() => certificates.remove());
  const port = await serveLinks(t, certificates, options.serve);
  await writeFile(
    join(folder, 'assignment.json'),
    JSON.stringify({
      itemId,
      name: 'test',
      processServer: { host: '127.0.0.1', port },
      tls: certificates.filesOf(itemId),
      disks: options.paths.map((path, index) => ({ diskId: diskIds[index], path })),
      policy: {
        crashConsistentSeconds: 1,
        applicationConsistentSeconds: 0,
        freezeMillisecondsMax: 1000,
        ...options.policy,
      },
    }),
  );
  const start = (): StartedService => {
    const [program, ...first] = options.command ?? [process.execPath, 'src/bin/mobility-service.ts'];
    const child = spawn(
      program!,
      [
        ...first,
        ...['--settings', folder, '--state', join(folder, 'state'), '--runtime', join(folder, 'run')],
        ...['--thaw-helper', localThawHelper()],
        ...(options.hasBrake === false ? [] : ['--write-brake', localWriteBrake()]),
        ...(options.machineRoot === undefined ? [] : ['--machine-root', options.machineRoot]),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
    );
    let said = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-1 << 20);
      });
    const exited = once(child, 'exit');
    t.teardown(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    return {
      child,
      said: () => said,
      stop: async () => {
        child.kill('SIGTERM');
        await exited;
        return child.exitCode ?? child.signalCode;
      },
    };
  };
  return {
    folder,
    itemId,
    diskIds,
    start,
    status: async () =>
      JSON.parse(await readFile(join(folder, 'run', 'status.json'), 'utf8')) as Record<string, unknown> & {
        residentBytes: number;
      },
  };
}

/** Waits for a condition, and says what the service logged when it does not come. */
export function awaiting<T>(
  what: string,
  service: StartedService,
  condition: () => Promise<T | undefined> | T | undefined,
  limitMilliseconds = 90_000,
): Promise<T> {
  return until(
    systemClock,
    limitMilliseconds,
    () => {
      if (service.child.exitCode !== null || service.child.signalCode !== null)
        throw new Error(`the service ended: ${service.said().slice(-3000)}`);
      return condition();
    },
    () => new Error(`${what}: not within the limit; ${service.said().slice(-3000)}`),
  );
}
