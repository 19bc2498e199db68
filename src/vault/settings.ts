/** The vault's settings: `<data folder>/vault.json`, written by `leeward vault init`, read once at start. */
import { z } from 'zod';

export const vaultSettingsName = 'vault.json';

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
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type VaultSettings = z.infer<typeof VaultSettings>;
