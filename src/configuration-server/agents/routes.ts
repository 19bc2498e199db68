/**
 * The configuration server's end of the link to its agents. Everything but enrolment needs a certificate of the site's
 * authority whose name says which agent it is; an agent asks and answers for itself only. A copy of a machine has the
 * certificate of its original, too: what its reports say of the machine tells them apart (`standing.ts`).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Bell } from '../../platform/bell.ts';
import { signRequest } from '../../platform/certificate-request.ts';
import type { Clock } from '../../platform/clock.ts';
import { type JsonHandler, type JsonRequest, jsonRoutes } from '../../platform/https-json.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { parse } from '../../platform/settings.ts';
import type { Authority } from '../../platform/tls.ts';
import {
  AgentCertificateRequest,
  AgentReportRequest,
  type AgentRole,
  agentBodyBytesMax,
  agentLinkPaths,
  agentSilentMilliseconds,
  CacheCertificateRequest,
  CommandAnswersRequest,
  EnrolRequest,
  instanceQuery,
  type MachineStanding,
  machinePrefix,
  TakenRequest,
  wantedWaitMilliseconds,
} from '../../protocol/control/agent-link.ts';
import { clockDifferenceMillisecondsMax, processServerPrefix } from '../../protocol/control/site-link.ts';
import type { OrderWork } from '../assignments/order-work.ts';
import { wantedOf } from '../assignments/wanted.ts';
import { errors } from '../errors.ts';
import { agentCertificateDays, agentRequestsMax } from '../limits.ts';
import * as agents from '../store/agents.ts';
import * as items from '../store/items.ts';
import * as runs from '../store/machine-runs.ts';
import type { VaultLink } from '../vault-link/vault-link.ts';

export interface AgentRoutesParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly authority: Authority;
  readonly masterKey: Uint8Array;
  readonly enrolmentSecret: string;
  readonly work: OrderWork;
  readonly vaultLink: Pick<VaultLink, 'cacheCertificate'>;
  readonly wantedBell: Bell;
  readonly workBell: Bell;
  readonly reportBell: Bell;
}

/** What is wanted is looked at again this often while somebody waits, whatever rang. */
const lookMilliseconds = 5_000;
/** Of a copy, for who has to find it. */
const addressesMax = 8;

export function agentRoutes(parts: AgentRoutesParts): JsonHandler {
  const { database, clock, authority, work } = parts;
  const serverStartedAt = clock.now();
  const now = () => new Date(clock.now()).toISOString();
  const certifiedAgent = async ({ peer, peerRefusal }: JsonRequest): Promise<agents.Agent> => {
    if (!peer) throw errors.AgentCertificateMissing(peerRefusal ?? 'no certificate was shown');
    const named = /^(machine|process-server)\/(.+)$/.exec(peer.commonName);
    const agent = named && (await agents.byId(database, named[2]!));
    if (!agent || commonNameOf(agent.role, agent.agentId) !== peer.commonName)
      throw errors.AgentUnknown(peer.commonName);
    return agent;
  };
  /** And the machine that this agent is: one that names no run is of a version that did not know of them. */
  const agentOf = async (request: JsonRequest): Promise<agents.Agent> => {
    const agent = await certifiedAgent(request);
    const instance = request.query.get(instanceQuery);
    if (agent.role !== 'mobility-service' || instance === null) return agent;
    const holder = await runs.holderOf(database, agent.agentId);
    if (holder && holder.instance !== instance) throw errors.MachineStillLive(agent.name, holder.name);
    return agent;
  };
  const reporting = (
    agentId: string,
    standing: MachineStanding,
    name: string,
    addresses: readonly string[],
  ): runs.Reporting => ({
    agentId,
    standing,
    name,
    addresses: [...new Set(addresses.filter((each) => each !== ''))].slice(0, addressesMax),
    now: clock.now(),
    serverStartedAt,
    silentMilliseconds: agentSilentMilliseconds,
    makeTicket: () => parts.random.bytes(8).toString('hex'),
  });
  /** Throws what a copy is told. */
  const admit = async (asking: runs.Reporting): Promise<runs.Admission> => {
    const { agentId, name } = asking;
    const admission = await runs.admit(database, asking);
    const { verdict, holderName, isNews, isOther } = admission;
    if (isNews) {
      parts.log.warn('machine-copied', { agentId, name, addresses: asking.addresses.join(' '), ...verdict });
      parts.reportBell.ring();
    }
    if (verdict.verdict === 'copy') throw errors.MachineCopied(name, holderName, verdict.why);
    if (verdict.verdict === 'wait') throw errors.MachineStillLive(name, holderName);
    // Process servers let in the machine that they were told of.
    if (isOther) parts.wantedBell.ring();
    return admission;
  };
  const sign = async (commonName: string, requestPem: string, usage: 'client' | 'both', hosts: string[]) => ({
    certificatePem: await signRequest({
      authority,
      requestPem,
      commonName,
      hosts,
      days: agentCertificateDays,
      usage,
    }),
    caPem: await readFile(authority.caFile, 'utf8'),
  });
  const signAgent = (agent: { role: AgentRole; agentId: string }, requestPem: string, hosts: string[]) =>
    sign(
      commonNameOf(agent.role, agent.agentId),
      requestPem,
      agent.role === 'process-server' ? 'both' : 'client',
      agent.role === 'process-server' ? hosts : [],
    );
  return jsonRoutes({
    bodyBytesMax: agentBodyBytesMax,
    requestsMax: agentRequestsMax,
    log: parts.log,
    routes: {
      [`POST ${agentLinkPaths.enrol}`]: async ({ body, address }) => {
        const request = parse(EnrolRequest, body, 'the enrolment');
        if (!isSame(request.secret, parts.enrolmentSecret)) throw errors.EnrolmentRefused();
        if (Math.abs(Date.parse(request.at) - clock.now()) > clockDifferenceMillisecondsMax)
          throw errors.AgentClockOff(request.at, now());
        const { agentId, role, name, hosts } = request;
        const other = await agents.byId(database, agentId);
        if (other && other.role !== role) throw errors.WrongRole(other.name, 'become another kind of agent');
        const { standing } = request;
        if (standing && other) {
          const asking = reporting(agentId, standing, name, [address]);
          if (request.replace) {
            await runs.replace(database, asking);
            parts.log.warn('machine-replaced', { agentId, name, address });
            parts.wantedBell.ring();
          } else if (await runs.holderOf(database, agentId)) await admit(asking);
        }
        const certificate = await signAgent({ role, agentId }, request.requestPem, hosts);
        await agents.enrol(database, { agentId, role, name }, now());
        // A copy that has an id of its own is none any more.
        if (standing && !other && (await runs.becameItself(database, standing.identity)))
          parts.reportBell.ring();
        parts.log.info('agent-enrolled', { agentId, role, name, address });
        return { ...certificate, at: now() };
      },

      [`POST ${agentLinkPaths.report}`]: async (request) => {
        const agent = await certifiedAgent(request);
        const asked = parse(AgentReportRequest, request.body, 'the report');
        const { said, standing } =
          asked.role === 'mobility-service'
            ? { said: { role: asked.role, machine: asked.machine }, standing: asked.standing }
            : { said: asked, standing: undefined };
        const saidId =
          said.role === 'mobility-service' ? said.machine.machineId : said.processServer.processServerId;
        if (said.role !== agent.role || saidId !== agent.agentId)
          throw errors.WrongRole(agent.name, 'report for another agent');
        const admission =
          standing === undefined || said.role !== 'mobility-service'
            ? undefined
            : await admit(
                reporting(agent.agentId, standing, said.machine.name, [
                  request.address,
                  ...said.machine.addresses,
                ]),
              );
        const isNews = await agents.report(database, agent.agentId, said, now());
        if (isNews) {
          parts.reportBell.ring();
          // Where a process server listens is part of what its machines are told.
          if (said.role === 'process-server') parts.wantedBell.ring();
        }
        return { at: now(), ...(admission?.ticket === undefined ? {} : { ticket: admission.ticket }) };
      },

      [`GET ${agentLinkPaths.wanted}`]: async (request) => {
        const agent = await agentOf(request);
        const have = request.query.get('have') ?? '';
        const doing = new Set((request.query.get('doing') ?? '').split(','));
        const until = clock.monotonic() + wantedWaitMilliseconds;
        for (;;) {
          const seen = parts.wantedBell.count;
          const { version, wanted } = await wantedOf(database, agent, parts.masterKey);
          const commands = work
            .commandsOf(agent.agentId)
            .filter(({ commandId }) => !doing.has(commandId))
            .slice(0, 16);
          const left = until - clock.monotonic();
          if (version !== have || commands.length > 0 || left <= 0 || request.signal.aborted)
            return { version, wanted, commands, at: now() };
          await parts.wantedBell.wait(clock, seen, Math.min(left, lookMilliseconds), request.signal);
        }
      },

      [`POST ${agentLinkPaths.taken}`]: async (request) => {
        const agent = await agentOf(request);
        const { version, failed } = parse(TakenRequest, request.body, 'the answer');
        await agents.answered(database, agent.agentId, version, failed);
        if (failed) parts.log.warn('assignment-not-taken', { agentId: agent.agentId, failed });
        parts.workBell.ring();
        return {};
      },

      [`POST ${agentLinkPaths.commandAnswers}`]: async (request) => {
        const agent = await agentOf(request);
        for (const answer of parse(CommandAnswersRequest, request.body, 'the answers').answers)
          work.commandAnswered(agent.agentId, answer);
        return {};
      },

      [`POST ${agentLinkPaths.certificate}`]: async (request) => {
        const agent = await agentOf(request);
        const { requestPem, itemId, hosts } = parse(AgentCertificateRequest, request.body, 'the request');
        if (itemId === undefined) return signAgent(agent, requestPem, hosts);
        // A protected item's certificate is for the machine that replicates as it, and for nobody else.
        const item = await items.byId(database, itemId);
        if (item?.machineId !== agent.agentId) throw errors.WrongRole(agent.name, `speak for ${itemId}`);
        return sign(itemId, requestPem, 'client', []);
      },

      [`POST ${agentLinkPaths.cacheCertificate}`]: async (request) => {
        const agent = await agentOf(request);
        if (agent.role !== 'process-server') throw errors.WrongRole(agent.name, 'reach cache storage');
        const { requestPem } = parse(CacheCertificateRequest, request.body, 'the request');
        return parts.vaultLink.cacheCertificate(agent.agentId, requestPem);
      },
    },
  });
}

function commonNameOf(role: AgentRole, agentId: string): string {
  return `${role === 'process-server' ? processServerPrefix : machinePrefix}${agentId}`;
}

/** In a time that says nothing about where they differ. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
