/** From settings to channels: reads the secrets once at start, and the alert settings of each vault whenever mail goes out. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { LeewardError } from '../../platform/errors.ts';
import { type Channel, type MailSettings, mailChannel, webhookChannel } from './channels.ts';
import type { AlertsSettings } from './settings.ts';

/** What an alert setting of the API holds, as far as mail is concerned. */
const AlertSetting = z.looseObject({
  sendToOwners: z.string().nullish(),
  customEmailAddresses: z.array(z.string()).nullish(),
});

export interface ChannelParts {
  readonly publicUrl: string;
  readonly vaultIds: () => Promise<readonly string[]>;
  /** Properties of the vault's alert settings. */
  readonly alertSettings: (vaultId: string) => Promise<readonly unknown[]>;
}

/** Answers a function that lists today's channels: vaults come and go. Throws `SecretUnreadable`. */
export async function openChannels(
  settings: AlertsSettings,
  parts: ChannelParts,
): Promise<() => Promise<readonly Channel[]>> {
  const webhooks = await Promise.all(
    settings.webhooks.map(async ({ url, secretFile }) =>
      webhookChannel(url, secretFile === undefined ? undefined : await secret(secretFile)),
    ),
  );
  const { mail } = settings;
  if (mail === undefined) return async () => webhooks;
  const server: MailSettings = {
    host: mail.host,
    port: mail.port,
    security: mail.security,
    from: mail.from,
    user: mail.user,
    password: mail.passwordFile === undefined ? undefined : await secret(mail.passwordFile),
    ca: mail.caFile === undefined ? undefined : await secret(mail.caFile),
  };
  const recipients = async (vaultId: string) => {
    const found = new Set<string>();
    for (const value of await parts.alertSettings(vaultId)) {
      const setting = AlertSetting.safeParse(value).data;
      if (setting?.sendToOwners === 'Send') for (const owner of mail.owners) found.add(owner);
      for (const address of setting?.customEmailAddresses ?? []) found.add(address);
    }
    return [...found];
  };
  return async () => [
    ...webhooks,
    ...(await parts.vaultIds()).map((vaultId) =>
      mailChannel(vaultId, parts.publicUrl, server, () => recipients(vaultId)),
    ),
  ];
}

async function secret(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new LeewardError({
      code: 'SecretUnreadable',
      summary: `the file ${path}, which the alert settings name, cannot be read`,
      possibleCauses: 'It does not exist, or it is not readable by the vault’s user.',
      recommendedAction: 'Write it (mode 0600, owned by the vault’s user), or take it out of vault.json.',
      context: { path },
      cause,
    });
  }
}
