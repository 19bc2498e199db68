/**
 * The vault's API as a client meets it: HTTPS with a certificate of an authority of our own, a real MariaDB, and the two
 * public SDKs, unmodified. Every answer that passes is checked field by field against its model.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RecoveryServicesClient } from '@azure/arm-recoveryservices';
import { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { systemClock } from '../../src/platform/clock.ts';
import { LeewardError } from '../../src/platform/errors.ts';
import { silentLog } from '../../src/platform/log.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { issueAuthority, issueCertificate } from '../../src/platform/tls.ts';
import { matchOperation, type Operation } from '../../src/protocol/arm/description.ts';
import { checkAnswer, type Problem } from '../../src/protocol/arm/schemas.ts';
import type { Principal } from '../../src/vault/access/principal.ts';
import type { AccessCheck, AuditedWrite } from '../../src/vault/api/access-check.ts';
import { type ArmServer, type ArmServerParts, startArmServer } from '../../src/vault/api/arm-server.ts';
import { deletedVaultHandlers } from '../../src/vault/api/deleted-vaults.ts';
import type { Handlers } from '../../src/vault/api/operation.ts';
import { refusedHandlers } from '../../src/vault/api/refused.ts';
import { resourceGroupHandlers } from '../../src/vault/api/resource-groups.ts';
import { vaultDetailsHandlers } from '../../src/vault/api/vault-details.ts';
import { vaultHandlers } from '../../src/vault/api/vaults.ts';
import type { Job, JobError } from '../../src/vault/jobs/jobs.ts';
import { MemoryResources, type Resources } from '../../src/vault/store/resources.ts';

export const subscriptionId = '5a3c1f9e-0d7b-4c55-8f8e-3f1d5f3a2b10';
export const tenantId = '0f2b7d6c-92d4-4d0e-9a77-6c1f0a9b4e21';
export const token = 'a-token-of-the-test';

export const owner: Principal = {
  objectId: 'c1b9f0d2-1111-4222-8333-444455556666',
  tenantId,
  applicationId: 'd2c8e1b3-1111-4222-8333-444455556666',
  displayName: 'contract test',
  roles: [{ role: 'Owner', scope: `/subscriptions/${subscriptionId}` }],
};

/** Stands in for sign-in: one token, which may do everything. */
export const oneToken: AccessCheck = {
  authenticate: async (authorization) => {
    if (authorization !== `Bearer ${token}`)
      throw new LeewardError({
        code: authorization === undefined ? 'AuthenticationFailed' : 'InvalidAuthenticationToken',
        summary: 'Authentication failed.',
        possibleCauses: 'No token, or a wrong one.',
        recommendedAction: 'Sign in.',
      });
    return owner;
  },
  authorize: async () => {},
};

/** Jobs that a test sets as it likes. */
export class ScriptedJobs {
  readonly byId = new Map<string, Job>();
  readonly #inProgressTimes = new Map<string, number>();
  /** The next jobs that are set fail with this. */
  failure: JobError | undefined;

  get = async (jobId: string): Promise<Job | undefined> => {
    const job = this.byId.get(jobId.toLowerCase());
    const times = this.#inProgressTimes.get(jobId) ?? 0;
    if (job === undefined || times === 0) return job;
    this.#inProgressTimes.set(jobId, times - 1);
    return { ...job, state: 'InProgress' };
  };

  /** `inProgressTimes`: how often it is in progress before it is what it is set to. */
  set({
    inProgressTimes = 0,
    ...job
  }: Pick<Job, 'jobId' | 'vaultId' | 'state'> & Partial<Job> & { inProgressTimes?: number }): void {
    this.#inProgressTimes.set(job.jobId, inProgressTimes);
    this.byId.set(job.jobId, {
      workflow: 'test',
      scenarioName: 'Test',
      friendlyName: 'Test',
      stateDescription: job.state,
      target: { id: job.vaultId, name: 'x', type: 'Vault' },
      input: null,
      output: undefined,
      errors: [],
      progress: undefined,
      instructions: undefined,
      requestedBy: owner.objectId,
      clientRequestId: undefined,
      parentJobId: undefined,
      restartOf: undefined,
      createdAt: '2026-01-02T03:04:05.000Z',
      startedAt: '2026-01-02T03:04:05.000Z',
      endedAt: undefined,
      allowedActions: [],
      ...job,
      ...(this.failure === undefined ? {} : { state: 'Failed' as const, errors: [this.failure] }),
    });
  }
}

export interface ArmWorld {
  readonly server: ArmServer;
  readonly url: string;
  readonly ca: string;
  readonly resources: Resources;
  readonly jobs: ScriptedJobs;
  readonly audited: AuditedWrite[];
  /** What did not fit its model, over all answers so far. */
  readonly misfits: string[];
  /** Ids of operations that were answered without an error. */
  readonly answered: Set<string>;
  /** Ids of operations that one of the public SDKs has asked for. */
  readonly calledBySdk: Set<string>;
  /** Called for each request before it is worked on; may answer for the server. */
  intercept:
    | ((method: string, path: string) => { status: number; headers: Record<string, string> } | undefined)
    | undefined;
  readonly siteRecovery: (options?: object) => SiteRecoveryManagementClient;
  readonly vaults: (options?: object) => RecoveryServicesClient;
  readonly request: (
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; apiVersion?: string | undefined },
  ) => Promise<PlainAnswer>;
  dispose(): Promise<void>;
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any answer
  readonly body: any;
}

export interface ArmWorldOptions {
  readonly resources?: Resources;
  /** Besides those of this folder's owner. */
  readonly nouns?: readonly Handlers[];
  /** Instead of all of this folder's owner: without the refusals, for tests that answer everything themselves. */
  readonly withoutRefusals?: boolean;
  readonly parts?: Partial<ArmServerParts>;
  readonly occupants?: (vaultId: string) => Promise<readonly string[]>;
}

export async function startArmWorld(options: ArmWorldOptions = {}): Promise<ArmWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-arm-'));
  const authority = await issueAuthority(join(folder, 'authority'));
  const paths = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost', '127.0.0.1'],
    days: 2,
    usage: 'server',
  });
  const ca = await readFile(paths.caFile, 'utf8');
  const resources = options.resources ?? new MemoryResources(systemClock);
  const jobs = new ScriptedJobs();
  const audited: AuditedWrite[] = [];
  const misfits: string[] = [];
  const answered = new Set<string>();
  const calledBySdk = new Set<string>();
  let publicUrl = '';
  const parts = {
    resources,
    subscriptionId,
    tenantId,
    clock: systemClock,
    random: systemRandom,
    occupants: options.occupants ?? (async () => []),
    figures: async () => ({
      protectedItemCount: 3,
      unhealthyItemCount: 1,
      recoveryPlanCount: 1,
      registeredServerCount: 2,
      unhealthyServerCount: 0,
      failedJobCount: 0,
      suspendedJobCount: 0,
      runningJobCount: 1,
      eventCount: 7,
    }),
    unregister: async (_vaultId: string, name: string) => name === 'site1',
    publicUrl: () => publicUrl,
  };
  const world: { intercept: ArmWorld['intercept'] } = { intercept: undefined };
  const server = await startArmServer({
    nouns: [
      vaultHandlers(parts),
      vaultDetailsHandlers(parts),
      deletedVaultHandlers(parts),
      resourceGroupHandlers(parts),
      ...(options.withoutRefusals === true ? [] : [refusedHandlers(async () => {})]),
      ...(options.nouns ?? []),
    ],
    whole: false,
    access: oneToken,
    audit: async (write) => void audited.push(write),
    jobs,
    resources,
    subscriptionId,
    tls: { cert: await readFile(paths.certificateFile), key: await readFile(paths.keyFile) },
    host: '127.0.0.1',
    port: 0,
    publicUrl: (port) => `https://localhost:${port}`,
    before: (url) => {
      publicUrl = url;
      return [
        async (context, next) => {
          const answer = world.intercept?.(context.method, context.path);
          if (answer !== undefined) {
            context.set(answer.headers);
            context.status = answer.status;
            context.body = JSON.stringify({ error: { code: 'Intercepted', message: 'by the test' } });
            context.type = 'json';
            return;
          }
          const match = matchOperation(context.method, context.path);
          if (match !== undefined && context.get('user-agent').startsWith('azsdk-js'))
            calledBySdk.add(match.operation.id);
          await next();
          if (match === undefined || context.status >= 400) return;
          answered.add(match.operation.id);
          for (const { path, message } of misfitsOf(match.operation, context.status, context.body))
            misfits.push(`${match.operation.id}: ${path}: ${message}`);
        },
      ];
    },
    retryAfterSeconds: 0,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    ...options.parts,
  });
  const { publicUrl: url } = server;
  const credential = {
    getToken: async () => ({ token, expiresOnTimestamp: systemClock.now() + 3_600_000 }),
  };
  const sdkOptions = { endpoint: url, tlsOptions: { ca } };
  const { Agent, request: send } = await import('node:https');
  const agent = new Agent({ ca, keepAlive: true });
  return Object.assign(world, {
    server,
    url,
    ca,
    resources,
    jobs,
    audited,
    misfits,
    answered,
    calledBySdk,
    siteRecovery: (more: object = {}) =>
      new SiteRecoveryManagementClient(credential, subscriptionId, { ...sdkOptions, ...more }),
    vaults: (more: object = {}) =>
      new RecoveryServicesClient(credential, subscriptionId, { ...sdkOptions, ...more }),
    request: (
      method: string,
      path: string,
      {
        body,
        headers = {},
        apiVersion = '2025-08-01',
      }: { body?: unknown; headers?: Record<string, string>; apiVersion?: string | undefined } = {},
    ) =>
      new Promise<PlainAnswer>((resolve, reject) => {
        const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
        const joined =
          path.includes('api-version=') || apiVersion === ''
            ? path
            : `${path}${path.includes('?') ? '&' : '?'}api-version=${apiVersion}`;
        const outgoing = send(
          url + joined,
          {
            method,
            agent,
            headers: {
              authorization: `Bearer ${token}`,
              // Node frames the body of a GET or DELETE only when it is told how long it is.
              ...(text === undefined
                ? {}
                : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
              ...headers,
            },
          },
          (incoming) => {
            const chunks: Buffer[] = [];
            incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
            incoming.once('error', reject);
            incoming.once('end', () => {
              const text = Buffer.concat(chunks).toString();
              resolve({
                status: incoming.statusCode!,
                headers: new Headers(
                  Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
                ),
                body: text === '' ? undefined : JSON.parse(text),
              });
            });
          },
        );
        outgoing.once('error', reject);
        outgoing.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
      }),
    dispose: async () => {
      agent.destroy();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  });
}

/** What an answer says that its model does not, or does not say that it must. */
export function misfitsOf(operation: Operation, status: number, text: unknown): readonly Problem[] {
  if (status !== 200 && status !== 201) return [];
  if (typeof text !== 'string') return [];
  const body = JSON.parse(text) as unknown;
  if (operation.items !== undefined) {
    const { value, ...rest } = body as { value?: unknown };
    if (!Array.isArray(value)) return [{ path: 'value', message: 'a list is expected' }];
    const strange = Object.keys(rest).filter((name) => name !== 'nextLink');
    return [
      ...strange.map((name) => ({ path: name, message: 'is not of a page' })),
      ...value.flatMap((one, index) =>
        checkAnswer(operation.items!, one).problems.map(({ path, message }) => ({
          path: `value[${index}].${path}`,
          message,
        })),
      ),
    ];
  }
  const model = operation.response ?? operation.result;
  return model === undefined ? [] : checkAnswer(model, body).problems;
}
