/** The vault's settings: `<data folder>/vault.json`, written by `leeward vault init`, read once at start. */
import { z } from 'zod';
import { AlertsSettings } from './notify/settings.ts';

export const vaultSettingsName = 'vault.json';

/** Somebody else's tokens that are accepted here: any OpenID Connect provider. */
export const OidcIssuer = z.strictObject({
  /** Exactly as its tokens and its `.well-known/openid-configuration` write it. */
  issuer: z.url({ protocol: /^https$/ }),
  /** `aud` of tokens for this vault. */
  audience: z.string().min(1),
  /** PEM; default: the machine's own trust. */
  caFile: z.string().startsWith('/').optional(),
  /** The claim that says who it is, for ever; Entra's is `oid`. */
  subjectClaim: z.string().min(1).default('sub'),
  /** What to call them in lists and in the audit trail. */
  nameClaim: z.string().min(1).default('name'),
  /** Whoever has `value` in `claim` (a text or a list) has the role; default scope: the subscription. */
  roles: z
    .array(
      z.strictObject({
        claim: z.string().min(1),
        value: z.string().min(1),
        role: z.enum([
          'Owner',
          'Site Recovery Contributor',
          'Site Recovery Operator',
          'Site Recovery Reader',
        ]),
        scope: z.string().startsWith('/subscriptions/').optional(),
      }),
    )
    .max(100)
    .default([]),
});
export type OidcIssuer = z.infer<typeof OidcIssuer>;

export const VaultSettings = z.strictObject({
  /** Where process servers put segments. */
  cache: z.strictObject({
    /** The first one is the name in the URL that process servers get; all are in the certificate. */
    hosts: z.array(z.string().min(1)).min(1),
    listen: z.string().min(1),
    port: z.number().int().min(0).max(65535),
  }),
  /** The data folder's replica part: a folder that can clone, or a volume that is mounted there at start. */
  replica: z.strictObject({
    folder: z.string().startsWith('/'),
    volume: z.string().startsWith('/').optional(),
  }),
  /** Embedded: a private server in the data folder. */
  database: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('embedded') }),
    z.strictObject({
      type: z.literal('server'),
      socketPath: z.string().startsWith('/'),
      user: z.string(),
      passwordFile: z.string().startsWith('/').optional(),
      database: z.string(),
    }),
  ]),
  failover: z
    .strictObject({
      provider: z.literal('libvirt'),
      /** A libvirt connection URI; the socket parameter may lead into another network namespace's daemon. */
      uri: z.string().min(1),
      /** Commands that must run where the machines' networks are: prefix, e.g. ip netns exec NAME. */
      commandPrefix: z.array(z.string()).optional(),
    })
    .optional(),
  /** The public side: REST API, sign-in, and the link of the sites. */
  api: z.strictObject({
    listen: z.string().min(1),
    port: z.number().int().min(0).max(65535),
    /** What every link is built from; default: the first host and the port. */
    publicUrl: z
      .url({ protocol: /^https$/ })
      .refine((url) => new URL(url).pathname === '/', { message: 'the public URL has no path' })
      .optional(),
    tenantId: z.guid(),
    subscriptionId: z.guid(),
    /** What this place is called; vaults are made `in` it. */
    location: z
      .string()
      .regex(/^[a-z0-9]{1,40}$/)
      .default('local'),
    issuers: z.array(OidcIssuer).max(10).default([]),
  }),
  alerts: AlertsSettings.default({ webhooks: [] }),
  /** Figures in Prometheus' text format, on loopback only since they name machines; 0: none. */
  metricsPort: z.number().int().min(0).max(65535).default(0),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type VaultSettings = z.infer<typeof VaultSettings>;
