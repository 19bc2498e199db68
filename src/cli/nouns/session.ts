/** `leeward sign-in`, `sign-out`, `session`: who asks, and which vault is meant. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { hasCode } from '../../platform/errors.ts';
import { parse } from '../../platform/settings.ts';
import { Api } from '../api.ts';
import { readText } from '../input.ts';
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

const whichFile = 'Name the file that the vault wrote (`make vault` writes .run/vault.env).';

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
            : (await readText(options.clientSecretFile, 'Name a file whose one line is the secret.')).trim(),
        LEEWARD_SUBSCRIPTION_ID: options.subscription,
        LEEWARD_RESOURCE_GROUP: options.resourceGroup,
        LEEWARD_VAULT: options.vault,
      };
      const fromFile =
        options.env === undefined ? {} : sessionFromEnvironmentFile(await readText(options.env, whichFile));
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
        await nextOf(api),
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
      using api = await Api.connect(session, context.clock, context.signal);
      const next = await nextOf(api);
      await keepSession(environment, session);
      print(
        context.output(),
        visible(session),
        () => `vault ${session.vault ?? '(none)'} in ${session.resourceGroup}`,
        next,
      );
    });
}

function visible({ clientSecret: _, ...session }: Session): Omit<Session, 'clientSecret'> {
  return session;
}

/** The vault that is meant may be one that is still to be made. */
async function nextOf(api: Api): Promise<string> {
  const { vault } = api.session;
  if (vault === undefined) return 'leeward vault list';
  try {
    await api.call('vaults.get');
    return 'leeward fabric list';
  } catch (error) {
    if (!hasCode(error, 'ResourceNotFound', 'ResourceGroupNotFound')) throw error;
    return `leeward vault create ${vault}      (it is not there yet)`;
  }
}
