/**
 * An agent's end of the link to its configuration server, the same for mobility services and process servers: enrolment,
 * and four loops that only ever dial out.
 *
 *     report   every 10 s, what I am and how I am
 *     wanted   asks, waits up to 25 s ─▶ apply ─▶ taken, or why not
 *     commands done once each while they are wanted, then answered
 *     renew    the agent's certificate in its last third
 *
 * What an agent does goes on when the configuration server cannot be reached: it has its assignment on disk. Tries are 1,
 * 2, 4 … 60 s apart, less a random quarter, and go through all the addresses that the enrolment key named.
 *
 *     <folder>/agent.json   who I am here, where to dial, whom to trust (last: a folder with it is enrolled)
 *     <folder>/tls/         certificate from the site's authority
 *     <folder>/tls/ticket   of a machine: from the answer to its last report, so that a copy made before it is known as one
 *
 * Nothing else is asked for until a first report was taken: whoever is a copy of another machine does nothing as that one.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ProtectedItemId } from '../../model/ids.ts';
import { parseMachineIdentity } from '../../model/machine-identity.ts';
import {
  certificateEnds,
  certificateFiles,
  keepCertificate,
  makeRequest,
} from '../../platform/certificate-request.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { isTransient, LeewardError } from '../../platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import { type Call, JsonClient } from '../../platform/https-json.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { parseJson } from '../../platform/settings.ts';
import type { TlsFilePaths } from '../../platform/tls.ts';
import {
  type AgentCommand,
  type AgentReport,
  AgentReportAnswer,
  AgentRole,
  agentBodyBytesMax,
  agentLinkPaths,
  agentReportSeconds,
  CacheCertificateAnswer,
  CertificateAnswer,
  EnrolAnswer,
  EnrolmentKey,
  instanceQuery,
  type MachineStanding,
  WantedAnswer,
  wantedWaitMilliseconds,
} from './agent-link.ts';
import { healthEventOf } from './health-event.ts';

export const EnrolledAgent = z.strictObject({
  format: z.literal('leeward-agent/1'),
  role: AgentRole,
  agentId: z.guid(),
  name: z.string(),
  urls: z.array(z.url()).min(1).max(16),
  caPem: z.string(),
  /** Of a process server: what is in its certificate. */
  hosts: z.array(z.string()).max(16),
});
export type EnrolledAgent = z.infer<typeof EnrolledAgent>;

export interface AgentSurroundings {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
}

const callMilliseconds = 30_000;
const retryMillisecondsMax = 60_000;
const renewLookMilliseconds = 3_600_000;
const renewMilliseconds = 30 * 86_400_000;
const agentFileBytesMax = 64 << 10;
/** Moments between two looks at an answer that has no news, so that a fault at the other end is no storm. */
const breathMilliseconds = 200;

/** What an enrolment key's file says. */
export function readEnrolmentKey(text: string, path: string): EnrolmentKey {
  return parseJson(EnrolmentKey, text, path);
}

/** From what a person types: a host, perhaps with a port. */
export function agentUrl(server: string): string {
  return new URL(server.includes('://') ? server : `https://${server}`).origin;
}

export async function readAgent(files: Files, folder: string): Promise<EnrolledAgent | undefined> {
  const path = join(folder, 'agent.json');
  const bytes = await readWhole(files, path, agentFileBytesMax);
  return bytes && parseJson(EnrolledAgent, bytes.toString(), path);
}

/** Safe to repeat after it broke off; enrolling again keeps the agent's id. */
export async function enrolAgent(
  request: {
    readonly folder: string;
    readonly role: AgentRole;
    readonly name: string;
    readonly key: EnrolmentKey;
    /** Instead of the addresses that the key names. */
    readonly url?: string | undefined;
    readonly hosts: readonly string[];
    /** Of a machine: what it is. */
    readonly identity?: string | undefined;
    /** Takes the place of the machine that had this id. */
    readonly replace?: boolean | undefined;
  },
  { files, clock, random }: AgentSurroundings,
): Promise<EnrolledAgent> {
  const { folder, role, name, key, hosts, identity, replace } = request;
  await files.makeFolder(folder);
  const idPath = join(folder, 'agent-id');
  const before = (await readWhole(files, idPath, 100))?.toString().trim();
  const agentId = before ?? random.uuid();
  if (before === undefined) await writeDurably(files, idPath, Buffer.from(agentId));
  const agent: EnrolledAgent = {
    format: 'leeward-agent/1',
    role,
    agentId,
    name,
    urls: request.url === undefined ? key.urls : [request.url],
    caPem: key.caPem,
    hosts: [...hosts],
  };
  const requestPem = await makeRequest(join(folder, 'tls'));
  const standing = identity === undefined ? undefined : await standingOf(files, folder, identity);
  let last: unknown;
  for (const url of agent.urls) {
    using client = new JsonClient({ url, ca: key.caPem, clock, answerBytesMax: agentBodyBytesMax });
    try {
      const answer = await client.call({
        method: 'POST',
        path: agentLinkPaths.enrol,
        body: {
          secret: key.secret,
          role,
          agentId,
          name,
          requestPem,
          hosts,
          at: new Date(clock.now()).toISOString(),
          ...(standing === undefined ? {} : { standing }),
          ...(replace ? { replace: true } : {}),
        },
        answer: EnrolAnswer,
        timeoutMilliseconds: callMilliseconds,
      });
      await keepCertificate(join(folder, 'tls'), answer.certificatePem, answer.caPem);
      await writeDurably(
        files,
        join(folder, 'agent.json'),
        Buffer.from(`${JSON.stringify(agent, null, 2)}\n`),
      );
      return agent;
    } catch (error) {
      // Only a server that cannot be reached is a reason to ask the next one.
      if (!isTransient(error)) throw error;
      last = error;
    }
  }
  throw last;
}

async function standingOf(files: Files, folder: string, identity: string): Promise<MachineStanding> {
  const ticket = (await readWhole(files, ticketPath(folder), 100))?.toString().trim();
  return ticket ? { identity, ticket } : { identity };
}

const ticketPath = (folder: string) => join(folder, 'tls', 'ticket');

export interface AgentLinkParts extends AgentSurroundings {
  readonly folder: string;
  readonly agent: EnrolledAgent;
  readonly log: Log;
  readonly report: () => Promise<AgentReport>;
  /** Does what is wanted; resolves when it is done. What is thrown and permanent is told, the rest tried again. */
  readonly apply: (wanted: WantedAnswer['wanted']) => Promise<void>;
  readonly command: (command: AgentCommand, signal: AbortSignal) => Promise<void>;
  /** The agent's certificate was renewed. */
  readonly onRenewed?: () => void;
  /** Of a machine: what it is. Asked before each report. */
  readonly identity?: () => Promise<string>;
  /** After each try to report: it was taken, or what it ended with. */
  readonly onReported?: (failure: unknown) => void;
}

export class AgentLink implements Disposable {
  readonly #parts: AgentLinkParts;
  readonly #doing = new Set<string>();
  #client: JsonClient | undefined;
  /** How often this agent's certificate was renewed. */
  #renewals = 0;
  #urlIndex = 0;
  #have = '';
  #hurry = new AbortController();
  #reporting: Promise<void> = Promise.resolve();
  /** A machine's first report was taken: it may ask for the rest. */
  readonly #isKnown = Promise.withResolvers<void>();
  #instance: string | undefined;

  constructor(parts: AgentLinkParts) {
    this.#parts = parts;
    if (!parts.identity) this.#isKnown.resolve();
  }

  get tls(): TlsFilePaths {
    return certificateFiles(join(this.#parts.folder, 'tls'));
  }

  /** Reports at once instead of when it is due. */
  hurry(): void {
    this.#hurry.abort();
  }

  /** One report now, and it has arrived when this resolves. One at a time: each shows the ticket that the one before got. */
  reportNow(signal: AbortSignal): Promise<void> {
    const report = this.#reporting.then(() => this.#reportInTurn(signal));
    this.#reporting = report.catch(() => {});
    return report;
  }

  async #reportInTurn(signal: AbortSignal): Promise<void> {
    const standing = await this.#standing();
    const { ticket } = await this.#call({
      method: 'POST',
      path: agentLinkPaths.report,
      body: { ...(await this.#parts.report()), ...(standing === undefined ? {} : { standing }) },
      answer: AgentReportAnswer,
      timeoutMilliseconds: callMilliseconds,
      signal,
    });
    if (standing !== undefined && ticket !== undefined && ticket !== standing.ticket)
      await this.#keepTicket(ticket);
  }

  /** Until stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const known = async (once: () => Promise<void>) => {
      await Promise.race([this.#isKnown.promise, aborted(signal)]);
      if (!signal.aborted) await once();
    };
    try {
      await Promise.all([
        this.#loop('report', signal, () => this.#reportOnce(signal)),
        this.#loop('wanted', signal, () => known(() => this.#wantedOnce(signal))),
        this.#loop('renew', signal, () => known(() => this.#renewOnce(signal))),
      ]);
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
  }

  /** A certificate in `folder` for the stream of a protected item; asked for when there is none or it ends soon. */
  async itemCertificate(folder: string, itemId: ProtectedItemId): Promise<TlsFilePaths> {
    if (await this.#isFresh(folder)) return certificateFiles(folder);
    const answer = await this.#call({
      method: 'POST',
      path: agentLinkPaths.certificate,
      body: { requestPem: await makeRequest(folder), itemId },
      answer: CertificateAnswer,
      timeoutMilliseconds: callMilliseconds,
    });
    return keepCertificate(folder, answer.certificatePem, answer.caPem);
  }

  /** A process server's certificate towards cache storage, and where that is; undefined: the one in `folder` is fresh. */
  async cacheCertificate(folder: string): Promise<{ readonly cacheUrl: string } | undefined> {
    if (await this.#isFresh(folder)) return undefined;
    const answer = await this.#call({
      method: 'POST',
      path: agentLinkPaths.cacheCertificate,
      body: { requestPem: await makeRequest(folder) },
      answer: CacheCertificateAnswer,
      timeoutMilliseconds: callMilliseconds,
    });
    await keepCertificate(folder, answer.certificatePem, answer.caPem);
    return { cacheUrl: answer.cacheUrl };
  }

  async #isFresh(folder: string): Promise<boolean> {
    const ends = await certificateEnds(folder);
    return ends !== undefined && ends - this.#parts.clock.now() > renewMilliseconds;
  }

  async #loop(name: string, signal: AbortSignal, once: () => Promise<void>): Promise<void> {
    const { clock, random, log } = this.#parts;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await once();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (failures === 0) log.warn('site-link-failed', { loop: name, error });
        const wait = Math.min(retryMillisecondsMax, 1000 * 2 ** Math.min(failures, 10));
        failures += 1;
        await pause(clock, wait * (1 - random.fraction() / 4), signal);
      }
    }
  }

  async #reportOnce(signal: AbortSignal): Promise<void> {
    const { clock, onReported } = this.#parts;
    this.#hurry = new AbortController();
    try {
      await this.reportNow(signal);
    } catch (error) {
      onReported?.(error);
      throw error;
    }
    this.#isKnown.resolve();
    onReported?.(undefined);
    await pause(clock, agentReportSeconds * 1000, AbortSignal.any([signal, this.#hurry.signal]));
  }

  async #standing(): Promise<MachineStanding | undefined> {
    const { files, folder, identity } = this.#parts;
    if (!identity) return undefined;
    const text = await identity();
    this.#instance = parseMachineIdentity(text)?.instance;
    return standingOf(files, folder, text);
  }

  /** A ticket that cannot be kept is asked for again: the one before it stays good until the next one is used. */
  async #keepTicket(ticket: string): Promise<void> {
    const { files, folder, log } = this.#parts;
    try {
      await writeDurably(files, ticketPath(folder), Buffer.from(`${ticket}\n`));
    } catch (error) {
      log.warn('ticket-not-kept', { error });
    }
  }

  async #wantedOnce(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const query = new URLSearchParams({ have: this.#have, doing: [...this.#doing].join(',') });
    const { version, wanted, commands } = await this.#call({
      method: 'GET',
      path: `${agentLinkPaths.wanted}?${query}`,
      answer: WantedAnswer,
      timeoutMilliseconds: wantedWaitMilliseconds + callMilliseconds,
      signal,
    });
    for (const command of commands) this.#obey(command, signal);
    if (version === this.#have) {
      if (commands.length === 0) await pause(clock, breathMilliseconds, signal);
      return;
    }
    log.info('wanted-changed', { version });
    let failed: LeewardError | undefined;
    try {
      await this.#parts.apply(wanted);
    } catch (error) {
      if (!(error instanceof LeewardError) || error.retry === 'transient') throw error;
      failed = error;
      log.error('wanted-not-taken', { version, error });
    }
    await this.#call({
      method: 'POST',
      path: agentLinkPaths.taken,
      body: { version, ...(failed ? { failed: healthEventOf(failed, clock.now()) } : {}) },
      answer: z.unknown(),
      timeoutMilliseconds: callMilliseconds,
      signal,
    });
    this.#have = version;
    this.hurry();
  }

  /** In the background; the answer is sent until it has arrived. */
  #obey(command: AgentCommand, signal: AbortSignal): void {
    const { commandId } = command;
    if (this.#doing.has(commandId)) return;
    this.#doing.add(commandId);
    const { clock, log } = this.#parts;
    const work = async (): Promise<void> => {
      log.info('commanded', { ...command });
      let failed: unknown;
      try {
        await this.#parts.command(command, signal);
      } catch (error) {
        failed = error;
      }
      for (let failures = 0; !signal.aborted; failures++)
        try {
          await this.#call({
            method: 'POST',
            path: agentLinkPaths.commandAnswers,
            body: {
              answers: [
                {
                  commandId,
                  ...(failed === undefined ? {} : { failed: healthEventOf(failed, clock.now()) }),
                },
              ],
            },
            answer: z.unknown(),
            timeoutMilliseconds: callMilliseconds,
            signal,
          });
          return;
        } catch (error) {
          if (signal.aborted) return;
          if (failures === 0) log.warn('answer-not-sent', { commandId, error });
          await pause(clock, Math.min(retryMillisecondsMax, 1000 * 2 ** Math.min(failures, 10)), signal);
        }
    };
    void work().finally(() => this.#doing.delete(commandId));
  }

  async #renewOnce(signal: AbortSignal): Promise<void> {
    const { clock, folder, agent, log, onRenewed } = this.#parts;
    const tls = join(folder, 'tls');
    if (!(await this.#isFresh(tls))) {
      const answer = await this.#call({
        method: 'POST',
        path: agentLinkPaths.certificate,
        body: { requestPem: await makeRequest(tls), hosts: agent.hosts },
        answer: CertificateAnswer,
        timeoutMilliseconds: callMilliseconds,
        signal,
      });
      await keepCertificate(tls, answer.certificatePem, answer.caPem);
      this.#renewals += 1;
      this.#client?.[Symbol.dispose]();
      this.#client = undefined;
      log.info('certificate-renewed');
      onRenewed?.();
    }
    await pause(clock, renewLookMilliseconds, signal);
  }

  async #call<T extends z.ZodType>(call: Call<T>): Promise<z.infer<T>> {
    const client = await this.#connected();
    const instance = this.#instance;
    const path =
      instance === undefined
        ? call.path
        : `${call.path}${call.path.includes('?') ? '&' : '?'}${instanceQuery}=${instance}`;
    try {
      return await client.call({ ...call, path });
    } catch (error) {
      // The next try goes to the next address.
      if (error instanceof LeewardError && ['PeerUnreachable', 'PeerNotTrusted'].includes(error.code)) {
        if (this.#client === client) {
          this.#client = undefined;
          this.#urlIndex += 1;
        }
      }
      throw error;
    }
  }

  async #connected(): Promise<JsonClient> {
    if (this.#client) return this.#client;
    const { agent, clock } = this.#parts;
    const { certificateFile, keyFile } = this.tls;
    let cert: string;
    let key: string;
    let renewals: number;
    do {
      renewals = this.#renewals;
      cert = await readFile(certificateFile, 'utf8');
      key = await readFile(keyFile, 'utf8');
      // What was renewed meanwhile may not belong together, and nobody would look again.
    } while (renewals !== this.#renewals);
    this.#client ??= new JsonClient({
      url: agent.urls[this.#urlIndex % agent.urls.length]!,
      ca: agent.caPem,
      certificate: { cert, key },
      clock,
      answerBytesMax: agentBodyBytesMax,
    });
    return this.#client;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
