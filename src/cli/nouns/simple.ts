/**
 * The nouns that are listed, shown, taken away and little more: a row each. What is richer has a file of its own.
 */
import type { Command } from 'commander';
import { print } from '../output.ts';
import {
  type Column,
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

interface SimpleNoun {
  readonly name: string;
  readonly description: string;
  /** Operation that lists them over the whole vault; paged. */
  readonly list: string;
  readonly columns: readonly Column[];
  /** Operation that removes one; undefined: it goes with what it belongs to. */
  readonly remove?: string;
  /** Operation that makes or changes one from a body, where the name is all it needs besides. */
  readonly put?: string;
  /** Further operations on one of them, each a job. */
  readonly verbs?: readonly {
    readonly verb: string;
    readonly description: string;
    readonly operation: string;
  }[];
  readonly next?: string;
}

const friendly = column('FRIENDLY NAME', 'friendlyName');

const simpleNouns: readonly SimpleNoun[] = [
  {
    name: 'fabric',
    description: 'sites: a configuration server each',
    list: 'replicationFabrics.list',
    columns: [
      nameColumn,
      friendly,
      column('KIND', 'customDetails.instanceType'),
      column('HEALTH', 'health'),
      column('LAST HEARTBEAT', 'customDetails.lastHeartbeat'),
    ],
    remove: 'replicationFabrics.delete',
    put: 'replicationFabrics.create',
    verbs: [
      {
        verb: 'refresh',
        description: 'wait for what the site reports next',
        operation: 'replicationFabrics.checkConsistency',
      },
      {
        verb: 'renew-certificate',
        description: 'have the site renew its certificate now',
        operation: 'replicationFabrics.renewCertificate',
      },
      {
        verb: 'purge',
        description: 'forget a site that is gone for good',
        operation: 'replicationFabrics.purge',
      },
    ],
    next: 'leeward protectable-item list',
  },
  {
    name: 'provider',
    description: 'what connects a fabric with the vault',
    list: 'replicationRecoveryServicesProviders.list',
    columns: [
      nameColumn,
      friendly,
      column('CONNECTION', 'connectionStatus'),
      column('LAST HEARTBEAT', 'lastHeartBeat'),
      column('VERSION', 'providerVersion'),
    ],
    remove: 'replicationRecoveryServicesProviders.delete',
    verbs: [
      {
        verb: 'refresh',
        description: 'wait for what the site reports next',
        operation: 'replicationRecoveryServicesProviders.refreshProvider',
      },
    ],
  },
  {
    name: 'container',
    description: 'protection containers of the fabrics',
    list: 'replicationProtectionContainers.list',
    columns: [
      nameColumn,
      column('FABRIC', 'fabricFriendlyName'),
      column('ITEMS', 'protectedItemCount'),
      column('PAIRING', 'pairingStatus'),
    ],
  },
  {
    name: 'container-mapping',
    description: 'which policies a container uses',
    list: 'replicationProtectionContainerMappings.list',
    columns: [
      nameColumn,
      column('POLICY', 'policyFriendlyName'),
      column('STATE', 'state'),
      column('HEALTH', 'health'),
    ],
    remove: 'replicationProtectionContainerMappings.delete',
  },
  {
    name: 'vcenter',
    description: 'vCenters of the fabrics',
    list: 'replicationvCenters.list',
    columns: [
      nameColumn,
      friendly,
      column('ADDRESS', 'ipAddress'),
      column('DISCOVERY', 'discoveryStatus'),
      column('LAST HEARTBEAT', 'lastHeartbeat'),
    ],
    remove: 'replicationvCenters.delete',
  },
  {
    name: 'network',
    description: 'networks of the fabrics',
    list: 'replicationNetworks.list',
    columns: [nameColumn, friendly, column('TYPE', 'networkType')],
  },
  {
    name: 'network-mapping',
    description: 'which recovery network stands for which source network',
    list: 'replicationNetworkMappings.list',
    columns: [
      nameColumn,
      column('FROM', 'primaryNetworkFriendlyName'),
      column('TO', 'recoveryNetworkFriendlyName'),
      column('STATE', 'state'),
    ],
    remove: 'replicationNetworkMappings.delete',
  },
  {
    name: 'storage-classification',
    description: 'kinds of storage',
    list: 'replicationStorageClassifications.list',
    columns: [nameColumn, friendly],
  },
  {
    name: 'storage-classification-mapping',
    description: 'which kind of storage stands for which',
    list: 'replicationStorageClassificationMappings.list',
    columns: [nameColumn, column('TO', 'targetStorageClassificationId')],
    remove: 'replicationStorageClassificationMappings.delete',
  },
  {
    name: 'appliance',
    description: 'appliances of the sites',
    list: 'replicationAppliances.list',
    columns: [
      {
        // The reference's row has no name: the appliances in it have.
        heading: 'NAME',
        value: (row) =>
          ((valueAt(row, 'providerSpecificDetails.appliances') ?? []) as { name?: string }[])
            .map(({ name }) => name)
            .join(', '),
      },
      column('KIND', 'providerSpecificDetails.instanceType'),
    ],
  },
  {
    name: 'migration-item',
    description: 'migration items (of a provider that this product does not have)',
    list: 'replicationMigrationItems.list',
    columns: [nameColumn, column('STATE', 'migrationState')],
  },
  {
    name: 'protection-intent',
    description: 'what is to be protected later',
    list: 'replicationProtectionIntents.list',
    columns: [nameColumn, friendly, column('JOB STATE', 'jobState')],
    put: 'replicationProtectionIntents.create',
  },
  {
    name: 'cluster',
    description: 'replication protection clusters',
    list: 'replicationProtectionClusters.list',
    columns: [nameColumn, column('STATE', 'protectionState')],
  },
  {
    name: 'alert',
    description: 'who is told when something goes wrong',
    list: 'replicationAlertSettings.list',
    columns: [nameColumn, column('OWNERS', 'sendToOwners'), column('ADDRESSES', 'customEmailAddresses')],
    put: 'replicationAlertSettings.create',
  },
  {
    name: 'vault-setting',
    description: 'settings of the vault as a whole',
    list: 'replicationVaultSetting.list',
    columns: [nameColumn, column('VMWARE PROVIDER', 'vmwareToAzureProviderType')],
    put: 'replicationVaultSetting.create',
  },
];

/** They have no list of their own: each fabric names its own. */
function addProcessServers(program: Command, context: NounContext): void {
  noun(program, 'process-server', 'process servers of the sites')
    .command('list')
    .description('all process servers, and how many machines each serves')
    .action(async () => {
      const fabrics = await (await context.api()).all('replicationFabrics.list');
      const rows = fabrics.flatMap((fabric) => {
        const found = valueAt(fabric, 'customDetails.processServers');
        return (Array.isArray(found) ? found : []).map((properties: Readonly<Record<string, unknown>>) => ({
          ...(fabric.name === undefined ? {} : { name: fabric.name }),
          // The reference's two kinds of fabrics call the same things differently.
          properties: {
            ...properties,
            name: properties.friendlyName ?? properties.name,
            ipAddress: properties.ipAddress ?? properties.ipAddresses,
            lastHeartbeat: properties.lastHeartbeat ?? properties.lastHeartbeatUtc,
            agentVersion: properties.agentVersion ?? properties.version,
          },
        }));
      });
      printList(
        context,
        rows,
        [
          { ...nameColumn, heading: 'FABRIC' },
          column('NAME', 'name'),
          column('ADDRESS', 'ipAddress'),
          column('HEALTH', 'health'),
          column('LAST HEARTBEAT', 'lastHeartbeat'),
          column('VERSION', 'agentVersion'),
          column('ID', 'id'),
        ],
        'no process server has enrolled yet',
        'leeward fabric list',
      );
    });
}

export function addSimpleNouns(program: Command, context: NounContext): void {
  addProcessServers(program, context);
  for (const simple of simpleNouns) {
    const command = noun(program, simple.name, simple.description);
    const rows = async () => (await context.api()).all(simple.list);
    command
      .command('list')
      .description(`all ${simple.name}s of the vault`)
      .action(async () =>
        printList(context, await rows(), simple.columns, `no ${simple.name} yet`, simple.next),
      );
    command
      .command('show')
      .description('one, with everything it says')
      .argument('<name>')
      .action(async (wish: string) => printOne(context, choose(await rows(), wish, simple.name)));
    if (simple.put !== undefined)
      command
        .command('set')
        .description('make or change one from a file')
        .argument('<name>')
        .requiredOption('--body <file>', 'the request as JSON; - reads standard input')
        .option('--wait', 'until the job has ended')
        .action(async (name: string, options: { body: string; wait?: boolean }) => {
          const api = await context.api();
          const answer = await api.put(simple.put!, name, await readBody(options.body));
          if (answer.jobId === undefined) printOne(context, answer.body);
          else await context.follow(answer.jobId, { wait: options.wait === true });
        });
    const verbs = [
      ...(simple.verbs ?? []),
      ...(simple.remove === undefined
        ? []
        : [{ verb: 'remove', description: 'take one away', operation: simple.remove }]),
    ];
    for (const { verb, description, operation } of verbs)
      command
        .command(verb)
        .description(description)
        .argument('<name>')
        .option('--wait', 'until the job has ended')
        .action(async (wish: string, options: { wait?: boolean }) => {
          const api = await context.api();
          const one = choose(await rows(), wish, simple.name);
          const answer = await api.on(one, operation);
          if (answer.jobId !== undefined) await context.follow(answer.jobId, { wait: options.wait === true });
          else print(context.output(), one, () => `${simple.name} ${one.name ?? wish}: ${verb} is done`);
        });
  }
}
