/** `leeward sign-in`, `sign-out`, `session`: who asks, and which vault is meant. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { LeewardError } from '../../platform/errors.ts';
import { parse } from '../../platform/settings.ts';
import { Api } from '../api.ts';
import { print } from '../output.ts';
import {
  currentSession,
  type Environment,
  forgetSession,
  keepSession,
  Session,
  sessionFromEnvironmentFile,
} from '../session.ts';
import { type NounContext, noun } from './noun.ts';

interface SignInOptions {
  readonly env?: string;
  readonly url?: string;
  readonly caFile?: string;
  readonly tenant?: string;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
  readonly subscription?: string;
  readonly resourceGroup?: string;
  readonly vault?: string;
}

export function addSession(program: Command, context: NounContext, environment: Environment): void {
  program
    .command('sign-in')
    .description('keep who you are and which vault you mean')
    .option('--env <file>', 'a file of LEEWARD_… lines, as `make vault` writes it')
    .option('--url <url>', 'of the vault')
    .option('--ca-file <file>', "of the authority that signed the vault's certificate")
    .option('--tenant <id>')
    .option('--client-id <id>', 'of the service principal')
    .option('--client-secret-file <file>', 'the secret, one line')
    .option('--subscription <id>')
    .option('--resource-group <name>')
    .option('--vault <name>')
    .action(async (options: SignInOptions) => {
      const given = {
        LEEWARD_URL: options.url,
        LEEWARD_CA_FILE: options.caFile === undefined ? undefined : resolve(options.caFile),
        LEEWARD_TENANT_ID: options.tenant,
        LEEWARD_CLIENT_ID: options.clientId,
        LEEWARD_CLIENT_SECRET:
          options.clientSecretFile === undefined
            ? undefined
            : (await readText(options.clientSecretFile)).trim(),
        LEEWARD_SUBSCRIPTION_ID: options.subscription,
        LEEWARD_RESOURCE_GROUP: options.resourceGroup,
        LEEWARD_VAULT: options.vault,
      };
      const fromFile =
        options.env === undefined ? {} : sessionFromEnvironmentFile(await readText(options.env));
      const session = await currentSession({
        ...environment,
        ...fromFile,
        ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      });
      // Kept only when it works.
      using api = await Api.connect(session, context.clock, context.signal);
      await api.all('vaults.listBySubscriptionId');
      const path = await keepSession(environment, session);
      print(
        context.output(),
        { path, ...visible(session) },
        () => `signed in at ${session.url}`,
        'leeward fabric list',
      );
    });
  program
    .command('sign-out')
    .description('forget it')
    .action(async () => {
      await forgetSession(environment);
      print(context.output(), {}, () => 'signed out');
    });
  const command = noun(program, 'session', 'who you are and which vault you mean');
  command
    .command('show')
    .description('without the secret')
    .action(async () => {
      const session = visible(await currentSession(environment));
      print(context.output(), session, () =>
        Object.entries(session)
          .map(([key, value]) => `${key.padEnd(16)}${value}`)
          .join('\n'),
      );
    });
  command
    .command('set')
    .description('mean another vault')
    .option('--vault <name>')
    .option('--resource-group <name>')
    .action(async (options: { vault?: string; resourceGroup?: string }) => {
      const session = parse(Session, { ...(await currentSession(environment)), ...options }, 'the session');
      await keepSession(environment, session);
      print(context.output(), visible(session), () => `vault ${session.vault} in ${session.resourceGroup}`);
    });
}

function visible({ clientSecret: _, ...session }: Session): Omit<Session, 'clientSecret'> {
  return session;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LeewardError({
      code: 'FileUnreadable',
      summary: `${path} cannot be read`,
      possibleCauses: 'It does not exist, or it is not yours to read.',
      recommendedAction: 'Name the file that the vault wrote (`make vault` writes .run/vault.env).',
      cause,
    });
  }
}
