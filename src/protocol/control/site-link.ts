/**
 * The link between a site and its vault. The configuration server only ever dials out: it registers with a key, then
 * reports and takes orders over HTTPS with the client certificate that registration gave it. docs/formats/site-link.md.
 *
 *     POST /site-link/register      key, CSR           ─▶ fabric, certificate, intervals
 *     POST /site-link/report        the whole picture  ─▶ (kept; heartbeat)
 *     GET  /site-link/orders?after  waits up to 25 s   ─▶ orders in sequence
 *     POST /site-link/answers       order by order     ─▶ (kept once)
 *     POST /site-link/certificate   CSR                ─▶ the site's own certificate, renewed
 *     POST /site-link/process-server-certificate   CSR ─▶ what a process server shows to the vault's cache endpoint
 *
 * Each order exactly once: the site keeps an order's answer durably before it sends it, and answers an order that it has
 * seen before with the same answer. The vault keeps the first answer to an order and ignores others.
 */
import { z } from 'zod';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';

export const MachineId = z.guid().brand<'MachineId'>();
export type MachineId = z.infer<typeof MachineId>;

/** More than can be protected (64), so that a machine with more is not shown as if it had no others. */
export const reportedDisksMax = 256;

/** A disk as the mobility service sees it; whole disks only. */
export const ReportedDisk = z.strictObject({
  /** `/dev/disk/by-id/…` where there is one, else `/dev/…`. */
  path: z.string().startsWith('/'),
  name: z.string().max(200),
  sizeBytes: z.number().int().nonnegative(),
  /** Empty: it can be protected. */
  readinessErrors: z.array(HealthEvent).max(20),
  /** Mount points, volume groups: what a person recognises it by. */
  uses: z.array(z.string().max(300)).max(64),
  /** Volume groups, RAIDs and file systems that are also on other disks, with the paths of all their disks. It came later. */
  stacks: z
    .array(
      z.strictObject({
        through: z.string().max(300),
        disks: z.array(z.string().startsWith('/')).min(2).max(reportedDisksMax),
      }),
    )
    .max(64)
    .optional(),
});
export type ReportedDisk = z.infer<typeof ReportedDisk>;

export const ReportedMachine = z.strictObject({
  machineId: MachineId,
  name: z.string().min(1).max(253),
  addresses: z.array(z.string()).max(64),
  osName: z.string().max(200),
  kernel: z.string().max(200),
  firmware: z.enum(['bios', 'efi']),
  cpuCount: z.number().int().positive(),
  memoryBytes: z.number().int().positive(),
  mobilityService: z.strictObject({ version: z.string().max(40), lastHeartbeatAt: z.iso.datetime() }),
  disks: z.array(ReportedDisk).max(reportedDisksMax),
  /** The protected item that this machine replicates as. */
  itemId: ProtectedItemId.optional(),
  /** Machines that came with the identity of this one and were refused, heard of within the last minutes. */
  copies: z
    .array(
      z.strictObject({
        name: z.string().max(253),
        addresses: z.array(z.string()).max(64),
        firstSeenAt: z.iso.datetime(),
      }),
    )
    .max(64)
    .optional(),
});
export type ReportedMachine = z.infer<typeof ReportedMachine>;

export const ReportedProcessServer = z.strictObject({
  processServerId: z.guid(),
  name: z.string().min(1).max(40),
  host: z.string().min(1).max(255),
  port: z.number().int().min(1).max(65535),
  version: z.string().max(40),
  lastHeartbeatAt: z.iso.datetime(),
  cpuPercent: z.number().min(0).max(100),
  memoryTotalBytes: z.number().int(),
  memoryAvailableBytes: z.number().int(),
  spoolTotalBytes: z.number().int(),
  spoolFreeBytes: z.number().int(),
  /** Waiting to be uploaded. */
  pendingBytes: z.number().int(),
  uploadBytesPerSecond: z.number(),
  itemCount: z.number().int(),
  health: z.array(HealthEvent).max(50),
});
export type ReportedProcessServer = z.infer<typeof ReportedProcessServer>;

/** The whole picture every time: what is not in it is gone. At most 1,000 machines in one report, pages by `page`. */
export const SiteReport = z.strictObject({
  configurationServer: z.strictObject({
    version: z.string().max(40),
    hostName: z.string().max(253),
    addresses: z.array(z.string()).max(64),
    at: z.iso.datetime(),
    health: z.array(HealthEvent).max(50),
  }),
  processServers: z.array(ReportedProcessServer).max(64),
  machines: z.array(ReportedMachine).max(1000),
  page: z.strictObject({ index: z.number().int().nonnegative(), last: z.boolean() }),
});
export type SiteReport = z.infer<typeof SiteReport>;

const orderBase = { orderId: z.guid(), sequence: z.number().int().positive(), expiresAt: z.iso.datetime() };

/** A failover that keeps an item's source out. */
export const FailedOver = z.strictObject({ failoverId: z.guid(), at: z.iso.datetime() });
export type FailedOver = z.infer<typeof FailedOver>;

/** How often points are taken. */
const ReplicationPolicy = z.strictObject({
  crashConsistentSeconds: z.number().positive(),
  /** 0: none. */
  applicationConsistentSeconds: z.number().nonnegative(),
});

export const SiteOrder = z.discriminatedUnion('order', [
  /** Gives the machine and its process server their assignments. Answered when both have taken them. */
  z.strictObject({
    ...orderBase,
    order: z.literal('protect'),
    itemId: ProtectedItemId,
    name: z.string().min(1).max(63),
    machineId: MachineId,
    processServerId: z.guid(),
    disks: z
      .array(z.strictObject({ diskId: ProtectedDiskId, path: z.string().startsWith('/') }))
      .min(1)
      .max(64),
    /** 32 bytes, base64; sealed to the configuration server's box key (tweetnacl), so no log or backup shows it. */
    sealedItemKey: z.string(),
    policy: ReplicationPolicy,
  }),
  /** Takes the assignments away again; unknown items are fine. */
  z.strictObject({ ...orderBase, order: z.literal('unprotect'), itemId: ProtectedItemId }),
  /** Take points as often as its policy says from now on. */
  z.strictObject({
    ...orderBase,
    order: z.literal('change-policy'),
    itemId: ProtectedItemId,
    policy: ReplicationPolicy,
  }),
  /**
   * The item runs at the recovery location, and its source must not replicate; null: it may again. Answered when it is durable;
   * the process server turns the source's sessions away from when it has taken it.
   */
  z.strictObject({
    ...orderBase,
    order: z.literal('change-failed-over'),
    itemId: ProtectedItemId,
    failedOver: FailedOver.nullable(),
  }),
  /** A script that lies on the appliance, by name, from its scripts folder. */
  z.strictObject({
    ...orderBase,
    order: z.literal('run-script'),
    name: z.string().regex(/^[A-Za-z0-9._-]{1,100}$/),
    arguments: z.array(z.string().max(1000)).max(32),
    timeoutSeconds: z.number().positive().max(86_400),
  }),
  /** End a script that nobody waits for any more, with all that it has started; one that has not begun does not begin. */
  z.strictObject({ ...orderBase, order: z.literal('stop-script'), scriptOrderId: z.guid() }),
  /** Shut the source machine down before a failover, so that nothing is written after the last point. */
  z.strictObject({
    ...orderBase,
    order: z.literal('shut-down-machine'),
    machineId: MachineId,
    timeoutSeconds: z.number().positive().max(3600),
  }),
  /** Take a bookmark now and send everything up to it. */
  z.strictObject({
    ...orderBase,
    order: z.literal('take-bookmark'),
    itemId: ProtectedItemId,
    type: z.enum(['CrashConsistent', 'ApplicationConsistent']),
  }),
  /** Renew the site's certificate now, with a new key, and not only in its last third. */
  z.strictObject({ ...orderBase, order: z.literal('renew-certificate') }),
]);
export type SiteOrder = z.infer<typeof SiteOrder>;

export const SiteAnswer = z.strictObject({
  orderId: z.guid(),
  outcome: z.discriminatedUnion('state', [
    z.strictObject({
      state: z.literal('done'),
      output: z
        .string()
        .max(64 * 1024)
        .optional(),
    }),
    z.strictObject({ state: z.literal('failed'), error: HealthEvent }),
  ]),
  answeredAt: z.iso.datetime(),
});
export type SiteAnswer = z.infer<typeof SiteAnswer>;

export const siteLinkPaths = {
  register: '/site-link/register',
  report: '/site-link/report',
  orders: '/site-link/orders',
  answers: '/site-link/answers',
  certificate: '/site-link/certificate',
  processServerCertificate: '/site-link/process-server-certificate',
} as const;

/** Of a site's client certificate: `site/<site id>`. */
export const sitePrefix = 'site/';
/** Of a process server's certificate towards cache storage: its id is what a protected item names as its process server. */
export const processServerPrefix = 'process-server/';

/** How long a request for orders waits for one. Proxies cut idle connections after 30 s and more. */
export const ordersWaitMilliseconds = 25_000;
/** Further apart than this, the clocks of site and vault make points' moments and certificates untrustworthy. */
export const clockDifferenceMillisecondsMax = 5 * 60_000;
/** Of one answer to a request for orders. */
export const ordersMax = 100;

export const RegisterRequest = z.strictObject({
  /** From the key's file. */
  token: z.string().max(32_768),
  /** Made by the configuration server before it first tried; the same in each repetition. */
  registrationId: z.guid(),
  requestPem: z.string().max(8192),
  /** Item keys are sealed to it: tweetnacl box, 32 bytes, base64. */
  boxPublicKey: z.base64().max(64),
  hostName: z.string().min(1).max(253),
  version: z.string().max(40),
  /** The clock of the configuration server. */
  at: z.iso.datetime(),
});
export type RegisterRequest = z.infer<typeof RegisterRequest>;

export const RegisterAnswer = z.object({
  siteId: z.guid(),
  vaultId: z.string(),
  fabricName: z.string(),
  certificatePem: z.string(),
  caPem: z.string(),
  reportSeconds: z.number().positive(),
  at: z.iso.datetime(),
});
export type RegisterAnswer = z.infer<typeof RegisterAnswer>;

export const ReportAnswer = z.object({ at: z.iso.datetime() });
export const OrdersAnswer = z.object({ orders: z.array(SiteOrder).max(ordersMax), at: z.iso.datetime() });
export const AnswersRequest = z.strictObject({ answers: z.array(SiteAnswer).min(1).max(ordersMax) });
export const AnswersAnswer = z.object({
  /** Those that the vault has now, whether from this request or an earlier one. */
  kept: z.array(z.guid()).max(ordersMax),
});

export const CertificateRequestBody = z.strictObject({ requestPem: z.string().max(8192) });
export const CertificateAnswer = z.object({ certificatePem: z.string(), caPem: z.string() });
export const ProcessServerCertificateRequest = z.strictObject({
  processServerId: z.guid(),
  requestPem: z.string().max(8192),
});
/** `cacheUrl`: where the process server puts segments. */
export const ProcessServerCertificateAnswer = CertificateAnswer.extend({ cacheUrl: z.url() });
