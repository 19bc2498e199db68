/**
 * The link inside a site: mobility services and process servers ⇄ their configuration server. Agents dial; the
 * configuration server answers on its HTTPS port. docs/formats/agent-link.md.
 *
 *     POST /agent/enrol              enrolment key's secret, CSR ─▶ certificate of the site's authority
 *     POST /agent/report             what I am and how I am      ─▶ (kept; heartbeat)
 *     GET  /agent/wanted?have&doing  waits up to 25 s            ─▶ what I should do, with its version; commands
 *     POST /agent/taken              version, or why not         ─▶
 *     POST /agent/command-answers    command by command          ─▶
 *     POST /agent/certificate        CSR                         ─▶ my certificate renewed, or one for my protected item
 *     POST /agent/cache-certificate  CSR                         ─▶ what a process server shows to the vault's cache endpoint
 *
 * A mobility service says with each report what its machine is, and gets a ticket for the next one; its other requests name
 * the run of its machine (`?instance=`). Who carries the certificate of another machine is refused with `MachineCopied`.
 *
 * What is wanted is a whole picture with a version (a digest of it), never a change: whoever missed ten pictures needs only
 * the eleventh. An agent says which version it has taken; the same version again costs nothing.
 */
import { z } from 'zod';
import { BookmarkType } from '../../model/bookmark.ts';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { machineIdentityLengthMax } from '../../model/machine-identity.ts';
import { ReportedMachine, ReportedProcessServer } from './site-link.ts';

export const agentLinkPaths = {
  enrol: '/agent/enrol',
  report: '/agent/report',
  wanted: '/agent/wanted',
  taken: '/agent/taken',
  commandAnswers: '/agent/command-answers',
  certificate: '/agent/certificate',
  cacheCertificate: '/agent/cache-certificate',
} as const;

/** Common names of the site's authority: `machine/<machine id>`, `process-server/<id>`, and a protected item's bare id. */
export const machinePrefix = 'machine/';

export const wantedWaitMilliseconds = 25_000;
/** How often an agent says that it lives. */
export const agentReportSeconds = 10;
/** Three are missed before an agent counts as silent. */
export const agentSilentMilliseconds = 3 * agentReportSeconds * 1000;
/** A report has at most 64 disks of some KiB; what is wanted of a process server at most 1,000 items of 2 KiB. */
export const agentBodyBytesMax = 4 << 20;

/** The file that enrols: made by the configuration server, given to agents by hand. */
export const EnrolmentKey = z.strictObject({
  format: z.literal('leeward-enrolment/1'),
  /** Where agents reach the configuration server, best first. */
  urls: z.array(z.url()).min(1).max(16),
  caPem: z.string().max(16_384),
  /** 32 bytes, base64url. */
  secret: z.string().length(43),
});
export type EnrolmentKey = z.infer<typeof EnrolmentKey>;

export const AgentRole = z.enum(['mobility-service', 'process-server']);
export type AgentRole = z.infer<typeof AgentRole>;

/** What a machine is, and that it is the one that reported last: docs/decisions/copies-of-machines.md. */
export const MachineStanding = z.strictObject({
  /** As in the hello of the change stream. */
  identity: z.string().max(machineIdentityLengthMax),
  /** From the answer to the last report. */
  ticket: z.string().max(64).optional(),
});
export type MachineStanding = z.infer<typeof MachineStanding>;

/** In the query of a mobility service's other requests. */
export const instanceQuery = 'instance';

export const EnrolRequest = z.strictObject({
  secret: z.string().max(100),
  role: AgentRole,
  /** Made by the agent; the same in each repetition. */
  agentId: z.guid(),
  name: z.string().min(1).max(253),
  requestPem: z.string().max(8192),
  /** Of a process server: names and addresses that machines reach it by. */
  hosts: z.array(z.string().max(253)).max(16),
  at: z.iso.datetime(),
  /** Of a machine. Left out by versions that came before it: they are not told from copies. */
  standing: MachineStanding.optional(),
  /** It takes the place of the machine that had this id. */
  replace: z.literal(true).optional(),
});
export const CertificateAnswer = z.object({ certificatePem: z.string(), caPem: z.string() });
export const EnrolAnswer = CertificateAnswer.extend({ at: z.iso.datetime() });

export const MachineInventory = ReportedMachine.omit({
  itemId: true,
  mobilityService: true,
  copies: true,
}).extend({
  version: z.string().max(40),
});
export type MachineInventory = z.infer<typeof MachineInventory>;

export const ProcessServerFigures = ReportedProcessServer.omit({ lastHeartbeatAt: true });
export type ProcessServerFigures = z.infer<typeof ProcessServerFigures>;

export const AgentReport = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('mobility-service'), machine: MachineInventory }),
  z.strictObject({ role: z.literal('process-server'), processServer: ProcessServerFigures }),
]);
export type AgentReport = z.infer<typeof AgentReport>;

/** As it is sent: `standing` is judged and not kept with the rest. */
export const AgentReportRequest = z.discriminatedUnion('role', [
  z.strictObject({
    role: z.literal('mobility-service'),
    machine: MachineInventory,
    standing: MachineStanding.optional(),
  }),
  AgentReport.options[1],
]);
export const AgentReportAnswer = z.object({ ticket: z.string().max(64).optional() });

const policy = z.strictObject({
  crashConsistentSeconds: z.number().positive(),
  applicationConsistentSeconds: z.number().nonnegative(),
});

export const MachineWanted = z.strictObject({
  role: z.literal('mobility-service'),
  /** Null: replicate nothing, and leave nothing behind. */
  item: z
    .strictObject({
      itemId: ProtectedItemId,
      name: z.string().min(1).max(63),
      processServer: z.strictObject({ host: z.string(), port: z.number().int().min(1).max(65535) }),
      disks: z
        .array(z.strictObject({ diskId: ProtectedDiskId, path: z.string().startsWith('/') }))
        .min(1)
        .max(64),
      policy,
    })
    .nullable(),
});
export type MachineWanted = z.infer<typeof MachineWanted>;

export const ProcessServerWanted = z.strictObject({
  role: z.literal('process-server'),
  items: z
    .array(
      z.strictObject({
        itemId: ProtectedItemId,
        name: z.string().min(1).max(63),
        /** 32 bytes, base64. */
        itemKey: z.base64().length(44),
        disks: z
          .array(z.strictObject({ diskId: ProtectedDiskId }))
          .min(1)
          .max(64),
        /** Of the machine that replicates as it; undefined: it has not said what it is. */
        machineIdentity: z.string().max(machineIdentityLengthMax).optional(),
      }),
    )
    .max(1000),
});
export type ProcessServerWanted = z.infer<typeof ProcessServerWanted>;

export const AgentCommand = z.discriminatedUnion('command', [
  z.strictObject({ commandId: z.guid(), command: z.literal('take-bookmark'), type: BookmarkType }),
  z.strictObject({ commandId: z.guid(), command: z.literal('shut-down') }),
]);
export type AgentCommand = z.infer<typeof AgentCommand>;

export const WantedAnswer = z.object({
  version: z.string().max(64),
  wanted: z.discriminatedUnion('role', [MachineWanted, ProcessServerWanted]),
  commands: z.array(AgentCommand).max(16),
  at: z.iso.datetime(),
});
export type WantedAnswer = z.infer<typeof WantedAnswer>;

export const TakenRequest = z.strictObject({
  version: z.string().max(64),
  /** Undefined: it does what is wanted. */
  failed: HealthEvent.optional(),
});

export const CommandAnswer = z.strictObject({
  commandId: z.guid(),
  /** Undefined: done. */
  failed: HealthEvent.optional(),
});
export type CommandAnswer = z.infer<typeof CommandAnswer>;
export const CommandAnswersRequest = z.strictObject({ answers: z.array(CommandAnswer).min(1).max(16) });

/** `itemId`: a certificate for the stream of this protected item, instead of the agent's own. */
export const AgentCertificateRequest = z.strictObject({
  requestPem: z.string().max(8192),
  itemId: ProtectedItemId.optional(),
  /** Of a process server's own: as in `EnrolRequest`. */
  hosts: z.array(z.string().max(253)).max(16).default([]),
});
export const CacheCertificateRequest = z.strictObject({ requestPem: z.string().max(8192) });
export const CacheCertificateAnswer = CertificateAnswer.extend({ cacheUrl: z.url() });
