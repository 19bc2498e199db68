/**
 * `leeward vault`: vaults of the recovery site, their health, and the keys by which sites register. Also the nouns that
 * only look: protectable items, operating systems.
 */
import { open, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { LeewardError } from '../../platform/errors.ts';
import type { Resource } from '../api.ts';
import { print } from '../output.ts';
import {
  at,
  choose,
  column,
  type NounContext,
  nameColumn,
  noun,
  printList,
  printOne,
  readBody,
  valueAt,
} from './noun.ts';

/** `command`: `leeward vault`, which has `init` and `run` already. */
export function addVault(program: Command, command: Command, context: NounContext): void {
  command
    .command('list')
    .description('vaults of the subscription')
    .action(async () =>
      printList(
        context,
        await (await context.api()).all('vaults.listBySubscriptionId'),
        [
          nameColumn,
          { heading: 'RESOURCE GROUP', value: ({ id }) => id?.split('/')[4] ?? '-' },
          { heading: 'LOCATION', value: (vault) => String((vault as { location?: string }).location ?? '-') },
          column('STATE', 'provisioningState'),
        ],
        'no vault yet',
        'leeward vault create <name>',
      ),
    );
  command
    .command('show')
    .description('one vault; default: the one that you are signed in to')
    .argument('[vault]', 'name')
    .action(async (name?: string) => {
      const api = await context.api();
      printOne(context, (await api.call('vaults.get', name === undefined ? {} : { vaultName: name })).body);
    });
  command
    .command('create')
    .description('make a vault in the resource group that you are signed in to')
    .argument('<vault>', 'name: 2-50 letters, digits and hyphens, a letter first')
    .option('--location <name>', 'what to call this site', 'local')
    .action(async (name: string, options: { location: string }) => {
      const api = await context.api();
      const { body } = await api.call(
        'vaults.createOrUpdate',
        { vaultName: name },
        { body: { location: options.location, sku: { name: 'Standard' }, properties: {} } },
      );
      printOne(context, body, `leeward session set --vault ${name}`);
    });
  command
    .command('delete')
    .description('delete a vault in which nothing is protected; it can be undeleted for a while')
    .argument('<vault>', 'name')
    .action(async (name: string) => {
      const api = await context.api();
      // Deleting what is not there is no error to the API; to a person it is a misspelt name.
      const { body } = await api.call('vaults.get', { vaultName: name });
      await api.call('vaults.delete', { vaultName: name });
      print(context.output(), body, () => `vault ${body.name} is deleted`, 'leeward vault deleted');
    });
  command
    .command('undelete')
    .description('bring a deleted vault back, with its policies and settings')
    .argument('<vault>', 'its name, or the id that `vault deleted` shows')
    .option('--location <name>', 'of the site', 'local')
    .option('--resource-group <name>', 'to this group; default: the one that you are signed in to')
    .action(async (wish: string, options: { location: string; resourceGroup?: string }) => {
      const api = await context.api();
      const rows = await api.all('deletedVaults.listBySubscriptionId', { location: options.location });
      const named = rows.map((row) => ({
        ...row,
        properties: { ...row.properties, friendlyName: at(row, 'vaultId').split('/').at(-1) },
      }));
      const deleted = choose(named, wish, 'deleted vault');
      const { subscriptionId, resourceGroup } = api.session;
      await api.call(
        'deletedVaults.undelete',
        { location: options.location, deletedVaultName: deleted.name! },
        {
          body: {
            properties: {
              recoveryResourceGroupId: `/subscriptions/${subscriptionId}/resourceGroups/${options.resourceGroup ?? resourceGroup}`,
            },
          },
        },
      );
      const name = at(deleted, 'friendlyName');
      print(
        context.output(),
        deleted,
        () => `vault ${name} is back in ${options.resourceGroup ?? resourceGroup}`,
        `leeward session set --vault ${name}${options.resourceGroup === undefined ? '' : ` --resource-group ${options.resourceGroup}`}`,
      );
    });
  command
    .command('deleted')
    .description('vaults that can be undeleted')
    .option('--location <name>', 'of the site', 'local')
    .action(async (options: { location: string }) =>
      printList(
        context,
        await (await context.api()).all('deletedVaults.listBySubscriptionId', { location: options.location }),
        [nameColumn, column('VAULT', 'vaultId'), column('DELETED', 'vaultDeletionTime')],
        'no deleted vault',
      ),
    );
  command
    .command('health')
    .description('what is wrong, over the whole vault')
    .option('--refresh', 'look again now')
    .action(async (options: { refresh?: boolean }) => {
      const api = await context.api();
      if (options.refresh) {
        const { jobId } = await api.call('replicationVaultHealth.refresh');
        if (jobId !== undefined) await context.follow(jobId, { wait: true });
        if (context.signal.aborted) return;
      }
      printOne(context, (await api.call('replicationVaultHealth.get')).body);
    });

  command
    .command('registration-key')
    .description('a key by which one site registers, valid for five days; the one before it is void')
    .requiredOption('--out <file>', 'where to write it, e.g. site1.VaultCredentials')
    .option('--fabric <name>', 'what the site will be called')
    .action(async (options: { out: string; fabric?: string }) => {
      const api = await context.api();
      // Never over something that is there, and for nobody else's eyes: whoever has it may register a site. Opened before the
      // key is asked for: a new key makes the one before it void.
      const file = await open(options.out, 'wx', 0o600).catch((cause: unknown) => {
        throw new LeewardError({
          code: 'KeyNotWritten',
          summary: `the key could not be written to ${options.out}`,
          possibleCauses: 'The file is there already, or its folder is not.',
          recommendedAction:
            'Name another file and repeat the command; no key was made, the one before it is good.',
          cause,
        });
      });
      let body: Resource;
      try {
        ({ body } = await api.call(
          'registrationKeys.create',
          {},
          { body: { properties: options.fabric === undefined ? {} : { fabricName: options.fabric } } },
        ));
        await file.writeFile(String(valueAt(body, 'content')));
      } catch (error) {
        await rm(options.out, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      const { content: _, ...shown } = body.properties ?? {};
      print(
        context.output(),
        { ...body, properties: shown, file: options.out },
        () => `a key for one site is in ${options.out}, valid until ${at(body, 'expiresAt')}`,
        `on the appliance: configuration-server register --key-file ${options.out}`,
      );
    });

  command
    .command('registration-keys')
    .description('keys that were made, and what became of them')
    .action(async () =>
      printList(
        context,
        await (await context.api()).all('registrationKeys.list'),
        [
          { ...nameColumn, heading: 'ID' },
          column('STATE', 'state'),
          column('FABRIC', 'fabricName'),
          column('MADE', 'issuedAt'),
          column('UNTIL', 'expiresAt'),
        ],
        'no key was made yet',
        'leeward vault registration-key --out site.VaultCredentials',
      ),
    );
  command
    .command('revoke-key')
    .description('make a registration key void; a site that has registered stays registered')
    .argument('<key>', 'its id')
    .action(async (id: string) => {
      await (await context.api()).call('registrationKeys.delete', { registrationKeyName: id });
      print(context.output(), { name: id }, () => `the key ${id} is void`, 'leeward vault registration-keys');
    });

  const machine = noun(program, 'protectable-item', 'machines that can be replicated');
  const machines = async (filter?: string): Promise<Resource[]> => {
    const api = await context.api();
    const found: Resource[] = [];
    for (const container of await api.all('replicationProtectionContainers.list'))
      found.push(
        ...(await api.all(
          'replicationProtectableItems.listByReplicationProtectionContainers',
          api.parametersOf(container, 'replicationProtectionContainers.get'),
          { $filter: filter },
        )),
      );
    return found;
  };
  machine
    .command('list')
    .description('of all sites')
    .option('--filter <text>', "the API's $filter, e.g. state eq 'Unprotected'")
    .action(async (options: { filter?: string }) => {
      const rows = await machines(options.filter);
      printList(
        context,
        rows,
        [
          column('MACHINE', 'friendlyName'),
          column('STATUS', 'protectionStatus'),
          column('OS', 'customDetails.osType'),
          column('ADDRESS', 'customDetails.ipAddress'),
          {
            heading: 'DISKS',
            value: (row) =>
              String((valueAt(row, 'customDetails.diskDetails') as unknown[] | undefined)?.length ?? 0),
          },
          { heading: 'BLOCKED BY', value: (row) => blockedBy(row) },
        ],
        'no machine has registered yet',
        rows.length === 0
          ? 'leeward vault registration-key --out site.VaultCredentials'
          : `leeward protected-item enable ${rows[0]!.properties?.friendlyName} --policy <name> --wait`,
      );
    });
  machine
    .command('show')
    .description('one machine with its disks and what blocks them')
    .argument('<machine>', 'name or id')
    .action(async (wish: string) => printOne(context, choose(await machines(), wish, 'protectable item')));

  noun(program, 'operating-system', 'what the mobility service runs on')
    .command('list')
    .description('supported operating systems')
    .action(async () =>
      printOne(context, (await (await context.api()).call('supportedOperatingSystems.get')).body),
    );
}

/** `leeward api`: any operation of the API, by its id or by a plain request. */
export function addApi(program: Command, context: NounContext): void {
  const command = noun(program, 'api', 'any operation of the REST API');
  command
    .command('call')
    .description('an operation by its id, e.g. replicationFabrics.get (docs/api/operations.md)')
    .argument('<operation>', 'its id')
    .option('--parameter <pairs...>', 'of its path, e.g. fabricName=site1')
    .option('--query <pairs...>', "e.g. '$filter=…'")
    .option('--body <file>', 'the request as JSON; - reads standard input')
    .option('--wait', 'until the job has ended')
    .action(
      async (
        operation: string,
        options: { parameter?: string[]; query?: string[]; body?: string; wait?: boolean },
      ) => {
        const api = await context.api();
        const answer = await api.call(operation, pairs(options.parameter), {
          query: pairs(options.query),
          ...(options.body === undefined ? {} : { body: await readBody(options.body) }),
        });
        if (answer.jobId === undefined) printOne(context, answer.body);
        else await context.follow(answer.jobId, { wait: options.wait === true });
      },
    );
  command
    .command('request')
    .description('a plain request')
    .argument('<method>')
    .argument('<path>', '/subscriptions/…')
    .option('--body <file>', 'the request as JSON; - reads standard input')
    .action(async (method: string, path: string, options: { body?: string }) => {
      const answer = await (await context.api()).plain(
        method.toUpperCase(),
        path,
        options.body === undefined ? undefined : await readBody(options.body),
      );
      printOne(context, answer.body);
    });
}

function pairs(list: readonly string[] | undefined): Record<string, string> {
  return Object.fromEntries(
    (list ?? []).map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1)
        throw new LeewardError({
          code: 'InvalidInput',
          summary: `${pair} is not a name and a value`,
          possibleCauses: 'The = between them is missing.',
          recommendedAction: 'Write name=value.',
        });
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function blockedBy(row: Resource): string {
  const errors = (valueAt(row, 'protectionReadinessErrors') as string[] | undefined) ?? [];
  return errors.length === 0 ? '-' : errors.join('; ');
}
