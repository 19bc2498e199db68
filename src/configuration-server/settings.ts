/** The configuration server's settings file, read once at start. `configuration-server init` writes one. */
import { z } from 'zod';

export const ConfigurationServerSettings = z.strictObject({
  /** Keys, certificates, the registration, the private database. */
  dataFolder: z.string().startsWith('/'),
  listen: z.strictObject({
    host: z.string().default('0.0.0.0'),
    port: z.number().int().min(0).max(65535).default(443),
  }),
  /** Names and addresses under which the site's machines reach it; in its certificate and in the enrolment key. */
  hosts: z.array(z.string().min(1)).min(1).max(16),
  database: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('embedded') }),
      z.strictObject({
        type: z.literal('server'),
        socketPath: z.string().startsWith('/'),
        user: z.string(),
        passwordFile: z.string().startsWith('/').optional(),
        database: z.string(),
      }),
    ])
    .default({ type: 'embedded' }),
  /** Scripts that recovery plans may run here, by name. */
  scriptsFolder: z.string().startsWith('/').default('/etc/leeward/scripts'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type ConfigurationServerSettings = z.infer<typeof ConfigurationServerSettings>;
