/**
 * The two ways out: mail over SMTP and a webhook over HTTPS. Each delivers a batch or throws; when it is tried again is the
 * notifier's matter. Leaf adapters.
 */
import { createHmac } from 'node:crypto';
import { createTransport } from 'nodemailer';
import { LeewardError } from '../../platform/errors.ts';
import type { HealthChange } from '../store/conditions.ts';
import { messageOf, webhookBody } from './message.ts';

/** A server that does not take a mail in this time has a problem of its own. */
const deliveryMilliseconds = 30_000;

export interface Channel {
  /** What it is, without secrets: the key of its cursor, and what a log says. */
  readonly name: string;
  /** Undefined: changes of all vaults. */
  readonly vaultId: string | undefined;
  deliver(changes: readonly HealthChange[], signal: AbortSignal): Promise<void>;
}

export interface MailSettings {
  readonly host: string;
  readonly port: number;
  /** `tls` from the first byte, `starttls` before anything else, `none` on loopback only. */
  readonly security: 'tls' | 'starttls' | 'none';
  readonly from: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM; undefined: the machine's own trust. */
  readonly ca?: string | undefined;
}

/** `recipients`: asked anew for each mail, since alert settings change. None: nothing is sent, and that is a success. */
export function mailChannel(
  vaultId: string,
  publicUrl: string,
  settings: MailSettings,
  recipients: () => Promise<readonly string[]>,
): Channel {
  return {
    name: `mail of ${vaultId}`,
    vaultId,
    deliver: async (changes) => {
      const to = await recipients();
      if (to.length === 0) return;
      const { subject, text } = messageOf(vaultId.split('/').at(-1)!, publicUrl, changes);
      const transport = createTransport({
        host: settings.host,
        port: settings.port,
        secure: settings.security === 'tls',
        requireTLS: settings.security === 'starttls',
        ignoreTLS: settings.security === 'none',
        ...(settings.user === undefined
          ? {}
          : { auth: { user: settings.user, pass: settings.password ?? '' } }),
        ...(settings.ca === undefined ? {} : { tls: { ca: settings.ca } }),
        connectionTimeout: deliveryMilliseconds,
        greetingTimeout: deliveryMilliseconds,
        socketTimeout: deliveryMilliseconds,
      });
      try {
        await transport.sendMail({ from: settings.from, to: [...to], subject, text });
      } catch (cause) {
        throw new LeewardError({
          code: 'MailNotSent',
          summary: `the mail server ${settings.host}:${settings.port} did not take a mail`,
          possibleCauses:
            'It is down, refuses the sender or the password, or shows a certificate that is not trusted.',
          recommendedAction: 'Correct the mail settings of the vault; what was not sent is sent then.',
          retry: 'transient',
          cause,
        });
      } finally {
        transport.close();
      }
    },
  };
}

/** `secret`: the body's HMAC-SHA-256 under it is in `Leeward-Signature`, so that the receiver knows who speaks. */
export function webhookChannel(url: string, secret: string | undefined): Channel {
  return {
    name: `webhook ${url}`,
    vaultId: undefined,
    deliver: async (changes, signal) => {
      const byVault = new Map<string, HealthChange[]>();
      for (const change of changes)
        byVault.set(change.vaultId, [...(byVault.get(change.vaultId) ?? []), change]);
      for (const [vaultId, list] of byVault) {
        const body = webhookBody(vaultId, list);
        let status: number;
        try {
          const answer = await fetch(url, {
            method: 'POST',
            body,
            redirect: 'error',
            headers: {
              'content-type': 'application/json',
              ...(secret === undefined
                ? {}
                : {
                    'leeward-signature': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
                  }),
            },
            signal: AbortSignal.any([signal, AbortSignal.timeout(deliveryMilliseconds)]),
          });
          status = answer.status;
          await answer.body?.cancel();
        } catch (cause) {
          throw refused(url, 'it does not answer', cause);
        }
        if (status < 200 || status > 299) throw refused(url, `it answered ${status}`);
      }
    },
  };
}

function refused(url: string, how: string, cause?: unknown): LeewardError {
  return new LeewardError({
    code: 'WebhookFailed',
    summary: `the webhook ${new URL(url).origin} did not take a message: ${how}`,
    possibleCauses: 'It is down, moved, or its certificate is not trusted.',
    recommendedAction: 'Correct the webhooks of the vault; what was not sent is sent then.',
    retry: 'transient',
    ...(cause === undefined ? {} : { cause }),
  });
}
