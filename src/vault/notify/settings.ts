/** Who is told and how: `alerts` of the vault's settings file. Secrets are in files that are named here. */
import { z } from 'zod';

const path = z.string().startsWith('/');
/** In the clear nothing leaves the machine. */
const isLoopback = (host: string) => ['127.0.0.1', '::1', 'localhost', '[::1]'].includes(host);

export const AlertsSettings = z.strictObject({
  mail: z
    .strictObject({
      host: z.string().min(1).max(255),
      port: z.number().int().min(1).max(65535).default(465),
      security: z.enum(['tls', 'starttls', 'none']).default('tls'),
      from: z.email(),
      user: z.string().max(255).optional(),
      passwordFile: path.optional(),
      /** Of the mail server's authority; default: the machine's own trust. */
      caFile: path.optional(),
      /** Who owns the vaults: told where an alert setting says `sendToOwners`. */
      owners: z.array(z.email()).max(20).default([]),
    })
    .refine((mail) => mail.security !== 'none' || isLoopback(mail.host), {
      message: 'mail without TLS goes to a server on this machine only',
    })
    .optional(),
  webhooks: z
    .array(
      z.strictObject({
        url: z
          .url({ protocol: /^https?$/ })
          .refine((url) => url.startsWith('https:') || isLoopback(new URL(url).hostname), {
            message: 'a webhook without TLS goes to this machine only',
          }),
        secretFile: path.optional(),
      }),
    )
    .max(20)
    .default([]),
});
export type AlertsSettings = z.infer<typeof AlertsSettings>;
