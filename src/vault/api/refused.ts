/**
 * Operations of the reference that belong to what this product does not have: other clouds' machines, Hyper-V, migration,
 * clusters. One row each, with the reason, so that a client is told and never gets an empty success.
 *
 *     refuse     400 OperationNotSupported, with causes and what to do instead
 *     none       the truth is an empty page: there are no such things, and there never were
 *     unknown    the truth is 404: whatever name is asked for, there is no such thing
 */
import { operations } from '../../protocol/arm/description.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handler, Handlers } from './operation.ts';

export interface Refusal {
  readonly answer: 'refuse' | 'none' | 'unknown';
  /** One sentence: what there is not. */
  readonly what: string;
  readonly causes: string;
  readonly action: string;
}

const because = (what: string, causes: string, action: string) =>
  ({
    refuse: { answer: 'refuse', what, causes, action },
    none: { answer: 'none', what, causes, action },
    unknown: { answer: 'unknown', what, causes, action },
  }) satisfies Record<Refusal['answer'], Refusal>;

const cloudMachines = because(
  'Machines that already run in a public cloud are not replicated between its regions.',
  'The call is meant for replication between regions of a public cloud (A2A); this vault protects VMware virtual machines and physical machines.',
  'Install the mobility service in the machine and protect it like a physical one.',
);
const migration = because(
  'Migration of machines (VMwareCbt) is not part of this product; machines are protected and failed over.',
  'The call is meant for a migration project.',
  'Protect the machine with PUT …/replicationProtectedItems/{name}, fail it over and commit: it then runs at the recovery site for good.',
);
const clusters = because(
  'Clusters of machines with shared disks are not replicated as one.',
  'The call is meant for Windows failover clusters in a public cloud.',
  'Protect the machines one by one and put them into one recovery plan, or give them one multi-VM group.',
);
const networkMappings = because(
  'Networks are not mapped: the network of a failover is named in the failover, or in the item.',
  'The call is meant for Hyper-V managed by VMM, or for regions of a public cloud.',
  'Name the network in testFailover (networkId), or in the settings of the protected item.',
);
const logicalNetworks = because(
  'There are no logical networks: they are a notion of Hyper-V managed by VMM.',
  'The fabric is a VMware or physical site.',
  'Use the networks of the fabric: GET …/replicationNetworks.',
);
const intents = because(
  'There are no protection intents: protection is enabled at once.',
  'The call is meant for machines that already run in a public cloud (A2A).',
  'Enable protection with PUT …/replicationProtectedItems/{name}.',
);

/** By operation id. Whoever makes one of them work takes its row away. */
export const refusals: Readonly<Record<string, Refusal>> = {
  'replicationEligibilityResults.list': cloudMachines.refuse,
  'replicationEligibilityResults.get': cloudMachines.refuse,

  'replicationMigrationItems.list': migration.none,
  'replicationMigrationItems.listByReplicationProtectionContainers': migration.none,
  'replicationMigrationItems.get': migration.unknown,
  'replicationMigrationItems.create': migration.refuse,
  'replicationMigrationItems.update': migration.refuse,
  'replicationMigrationItems.delete': migration.refuse,
  'replicationMigrationItems.migrate': migration.refuse,
  'replicationMigrationItems.pauseReplication': migration.refuse,
  'replicationMigrationItems.resumeReplication': migration.refuse,
  'replicationMigrationItems.resync': migration.refuse,
  'replicationMigrationItems.testMigrate': migration.refuse,
  'replicationMigrationItems.testMigrateCleanup': migration.refuse,
  'migrationRecoveryPoints.listByReplicationMigrationItems': migration.unknown,
  'migrationRecoveryPoints.get': migration.unknown,

  'replicationProtectionClusters.list': clusters.none,
  'replicationProtectionClusters.listByReplicationProtectionContainers': clusters.none,
  'replicationProtectionClusters.get': clusters.unknown,
  'replicationProtectionClusters.getOperationResults': clusters.unknown,
  'replicationProtectionClusters.create': clusters.refuse,
  'replicationProtectionClusters.purge': clusters.refuse,
  'replicationProtectionClusters.applyRecoveryPoint': clusters.refuse,
  'replicationProtectionClusters.failoverCommit': clusters.refuse,
  'replicationProtectionClusters.repairReplication': clusters.refuse,
  'replicationProtectionClusters.testFailover': clusters.refuse,
  'replicationProtectionClusters.testFailoverCleanup': clusters.refuse,
  'replicationProtectionClusters.unplannedFailover': clusters.refuse,
  'clusterRecoveryPoints.listByReplicationProtectionCluster': clusters.unknown,
  'clusterRecoveryPoint.get': clusters.unknown,
  'replicationProtectionContainers.switchClusterProtection': clusters.refuse,
  'replicationProtectionContainers.switchProtection': cloudMachines.refuse,

  'replicationNetworkMappings.list': networkMappings.none,
  'replicationNetworkMappings.listByReplicationNetworks': networkMappings.none,
  'replicationNetworkMappings.get': networkMappings.unknown,
  'replicationNetworkMappings.create': networkMappings.refuse,
  'replicationNetworkMappings.update': networkMappings.refuse,
  'replicationNetworkMappings.delete': networkMappings.refuse,
  'replicationLogicalNetworks.listByReplicationFabrics': logicalNetworks.none,
  'replicationLogicalNetworks.get': logicalNetworks.unknown,

  'replicationProtectionIntents.list': intents.none,
  'replicationProtectionIntents.get': intents.unknown,
  'replicationProtectionIntents.create': intents.refuse,
};

/**
 * Refused by their nouns, once they have seen that the item or the site is there at all: nothing for this product to do, or
 * nothing yet. Here for the table of operations; a test holds the two against each other.
 */
export const refusedByNouns: Readonly<Record<string, string>> = {
  'replicationFabrics.reassociateGateway': 'Machines are not moved from one process server to another yet.',
  'replicationFabrics.migrateToAad':
    'A site has nothing to migrate: it has signed in with a certificate of this vault from the beginning.',
  'replicationProtectionContainers.create':
    'Protection containers are not made: each fabric has exactly one.',
  'replicationProtectionContainers.delete':
    'A protection container is not removed by itself: it goes with its fabric.',
  'replicationProtectionContainers.discoverProtectableItem':
    'Machines are not looked for by address: a machine with the mobility service appears by itself.',
  'replicationProtectedItems.updateMobilityService':
    'The mobility service is not installed or updated from here.',
  'replicationProtectedItems.reinstallMobilityService':
    'The mobility service is not installed or updated from here.',
  'replicationProtectedItems.addDisks':
    'Disks are not added to or removed from a machine that is protected already.',
  'replicationProtectedItems.removeDisks':
    'Disks are not added to or removed from a machine that is protected already.',
  'replicationProtectedItems.updateAppliance': 'A machine is not moved to another appliance.',
  'replicationProtectedItems.resolveHealthErrors':
    'A health error is not resolved by saying so: it goes by itself when its cause is gone.',
  'replicationProtectedItems.switchProvider':
    'There is only one way to replicate, so there is none to switch to.',
  'replicationProtectedItems.reprotect': 'Machines are not replicated back to their site yet.',
  'replicationRecoveryPlans.reprotect': 'Machines are not replicated back to their site yet.',
};

/**
 * `mustExist`: throws 404 when what the things would lie in (a fabric, a container) is not there: of a site that there is not
 * nothing can be said, not even that it has none.
 */
export function refusedHandlers(mustExist: (request: ArmRequest) => Promise<void>): Handlers {
  return Object.fromEntries(
    Object.entries(refusals).map(([id, refusal]) => [id, refused(id, refusal, mustExist)]),
  );
}

function refused(
  id: string,
  { answer, what, causes, action }: Refusal,
  mustExist: (request: ArmRequest) => Promise<void>,
): Handler {
  if (answer === 'refuse')
    return async () => {
      throw errors.OperationNotSupported(`${what} (${id})`, causes, action);
    };
  if (answer === 'none')
    return async (request) => {
      await mustExist(request);
      return { page: [] };
    };
  return async (request) => {
    await mustExist(request);
    const segments = request.resourceId.split('/');
    throw errors.ResourceNotFound(
      segments.at(-2) ?? '',
      segments.at(-1) ?? '',
      `vault '${request.parameters.resourceName ?? ''}'; ${what.charAt(0).toLowerCase()}${what.slice(1)}`,
    );
  };
}

/** For the table of operations: how a client is answered, and why. Undefined: it works. */
export function refusalOf(id: string): Pick<Refusal, 'answer' | 'what'> | undefined {
  if (!operations.some((operation) => operation.id === id)) throw new Error(`${id} is no operation`);
  const what = refusedByNouns[id];
  return what === undefined ? refusals[id] : { answer: 'refuse', what };
}
