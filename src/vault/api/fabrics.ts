/**
 * Fabrics (sites), their providers and their one protection container. What an answer says of a site is its last report; a
 * site that went silent says so as a health error.
 */
import type { HealthEvent } from '../../model/health.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/mysql.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import type { ReportedProcessServer } from '../../protocol/control/site-link.ts';
import type { RaisedCondition } from '../store/conditions.ts';
import * as conditions from '../store/conditions.ts';
import * as items from '../store/protected-items.ts';
import { errors } from './errors.ts';
import { conditionError, type HealthErrorView, healthError, healthOf } from './health-error.ts';
import {
  allChildren,
  checkName,
  deleteRow,
  type NounParts,
  notFound,
  pageOfAll,
  propertiesOf,
  putRow,
  resourceView,
  startJob,
  targetOf,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { type Container, containerOf, type Fabric, SiteReader, silentMilliseconds } from './site-reader.ts';

/** Above these a process server is in trouble: the reference's figures. */
const cpuPercentWarning = 80;
const cpuPercentCritical = 95;
const memoryFreeWarning = 0.2;
const memoryFreeCritical = 0.05;
const spaceFreeWarning = 0.3;
const spaceFreeCritical = 0.25;

type Status = 'Healthy' | 'Warning' | 'Critical' | 'Unknown';

/** A vault's name of where recovery goes, for clients that compare it with the reference's. */
export const recoveryFabricName = 'Microsoft Azure';

/** What the health reconciler says of a site and of what is in it, by lower-cased id. */
export type Raised = ReadonlyMap<string, readonly RaisedCondition[]>;

export const processServerObjectId = (fabric: Fabric, server: Pick<ReportedProcessServer, 'name'>) =>
  childId(fabric.id, 'processServers', server.name);

export async function raisedOfFabrics(
  database: Database,
  fabrics: readonly (readonly [Fabric, readonly ReportedProcessServer[]])[],
): Promise<Raised> {
  return conditions.raisedOf(
    database,
    fabrics.flatMap(([fabric, servers]) => [
      fabric.id,
      ...servers.map((server) => processServerObjectId(fabric, server)),
    ]),
  );
}

const errorsOf = (raised: Raised, id: string, said: readonly HealthEvent[] = []): HealthErrorView[] => {
  const holds = (raised.get(idKey(id)) ?? []).map(conditionError);
  return [
    ...holds,
    // What a component says of itself, before the health reconciler has seen it.
    ...said
      .filter(({ code }) => !holds.some(({ errorCode }) => errorCode === code))
      .map((event) => healthError(event, id, 'FabricInfrastructure')),
  ];
};

const serverErrors = (fabric: Fabric, server: ReportedProcessServer, raised: Raised) =>
  errorsOf(raised, processServerObjectId(fabric, server), server.health);

export const fabricErrors = (fabric: Fabric, servers: readonly ReportedProcessServer[], raised: Raised) => [
  ...errorsOf(raised, fabric.id, fabric.site?.configurationServer?.health),
  ...servers.flatMap((server) => serverErrors(fabric, server, raised)),
];

/** A service that is not heard of is taken for stopped; one that has too much to do is not. */
const serviceStatus = (errors: readonly HealthErrorView[], silent: string) =>
  errors.some(({ errorCode }) => errorCode === silent) ? 'Stopped' : 'Running';

const share = (part: number, whole: number) => (whole > 0 ? part / whole : 1);
const low = (free: number, warning: number, critical: number): Status =>
  free < critical ? 'Critical' : free < warning ? 'Warning' : 'Healthy';
const cpuStatus = (percent: number): Status =>
  percent > cpuPercentCritical ? 'Critical' : percent > cpuPercentWarning ? 'Warning' : 'Healthy';
const memoryStatus = (server: ReportedProcessServer) =>
  low(share(server.memoryAvailableBytes, server.memoryTotalBytes), memoryFreeWarning, memoryFreeCritical);
const spaceStatus = (server: ReportedProcessServer) =>
  low(share(server.spoolFreeBytes, server.spoolTotalBytes), spaceFreeWarning, spaceFreeCritical);
const rounded = (value: number) => Math.round(value);

/** As the VMware fabric has it. */
function processServerView(server: ReportedProcessServer, fabric: Fabric, raised: Raised): unknown {
  const health = serverErrors(fabric, server, raised);
  return {
    friendlyName: server.name,
    id: server.processServerId,
    ipAddress: server.host,
    osType: 'Linux',
    agentVersion: server.version,
    lastHeartbeat: server.lastHeartbeatAt,
    versionStatus: 'UpToDate',
    mobilityServiceUpdates: [],
    hostId: server.processServerId,
    machineCount: String(server.itemCount),
    replicationPairCount: String(server.itemCount),
    systemLoad: String(rounded(server.cpuPercent)),
    systemLoadStatus: cpuStatus(server.cpuPercent),
    cpuLoad: String(rounded(server.cpuPercent)),
    cpuLoadStatus: cpuStatus(server.cpuPercent),
    totalMemoryInBytes: server.memoryTotalBytes,
    availableMemoryInBytes: server.memoryAvailableBytes,
    memoryUsageStatus: memoryStatus(server),
    totalSpaceInBytes: server.spoolTotalBytes,
    availableSpaceInBytes: server.spoolFreeBytes,
    spaceUsageStatus: spaceStatus(server),
    psServiceStatus: serviceStatus(health, 'ProcessServerSilent'),
    healthErrors: health,
    health: healthOf(health),
    psStatsRefreshTime: server.lastHeartbeatAt,
    throughputUploadPendingDataInBytes: server.pendingBytes,
    throughputInMBps: rounded(server.uploadBytesPerSecond / 1e6),
    throughputInBytes: rounded(server.uploadBytesPerSecond),
    throughputStatus: 'Healthy',
    marsCommunicationStatus: 'Healthy',
    marsRegistrationStatus: 'Healthy',
  };
}

/** As the InMageRcm fabric and the appliances have it. */
export function processServerDetails(server: ReportedProcessServer, fabric: Fabric, raised: Raised): unknown {
  const health = serverErrors(fabric, server, raised);
  const memoryUsed = server.memoryTotalBytes - server.memoryAvailableBytes;
  return {
    id: server.processServerId,
    name: server.name,
    biosId: server.processServerId,
    fabricObjectId: fabric.id,
    fqdn: server.host,
    ipAddresses: [server.host],
    version: server.version,
    lastHeartbeatUtc: server.lastHeartbeatAt,
    totalMemoryInBytes: server.memoryTotalBytes,
    availableMemoryInBytes: server.memoryAvailableBytes,
    usedMemoryInBytes: memoryUsed,
    memoryUsagePercentage: rounded(100 * (1 - share(server.memoryAvailableBytes, server.memoryTotalBytes))),
    totalSpaceInBytes: server.spoolTotalBytes,
    availableSpaceInBytes: server.spoolFreeBytes,
    usedSpaceInBytes: server.spoolTotalBytes - server.spoolFreeBytes,
    freeSpacePercentage: rounded(100 * share(server.spoolFreeBytes, server.spoolTotalBytes)),
    throughputUploadPendingDataInBytes: server.pendingBytes,
    throughputInBytes: rounded(server.uploadBytesPerSecond),
    processorUsagePercentage: server.cpuPercent,
    throughputStatus: 'Healthy',
    systemLoad: rounded(server.cpuPercent),
    systemLoadStatus: cpuStatus(server.cpuPercent),
    diskUsageStatus: spaceStatus(server),
    memoryUsageStatus: memoryStatus(server),
    processorUsageStatus: cpuStatus(server.cpuPercent),
    health: healthOf(health),
    healthErrors: health,
    protectedItemCount: server.itemCount,
    historicHealth: healthOf(health),
  };
}

export function fabricView(
  fabric: Fabric,
  servers: readonly ReportedProcessServer[],
  raised: Raised,
): unknown {
  const health = fabricErrors(fabric, servers, raised);
  return resourceView(fabric.id, {
    friendlyName: fabric.name,
    internalIdentifier: fabric.site?.siteId ?? fabric.id,
    bcdrState: 'Valid',
    encryptionDetails: { kekState: 'None' },
    rolloverEncryptionDetails: { kekState: 'None' },
    customDetails: customDetails(fabric, servers, raised),
    healthErrorDetails: health,
    health: fabric.site === undefined && fabric.instanceType !== 'Azure' ? 'None' : healthOf(health),
  });
}

function customDetails(fabric: Fabric, servers: readonly ReportedProcessServer[], raised: Raised): unknown {
  const sent = (fabric.row?.properties.customDetails ?? {}) as Record<string, unknown>;
  const { site } = fabric;
  switch (fabric.instanceType) {
    case 'Azure':
      return { instanceType: 'Azure', ...pick(sent, ['location']) };
    case 'VMwareV2':
      return {
        instanceType: 'VMwareV2',
        ...pick(sent, ['vmwareSiteId', 'physicalSiteId', 'migrationSolutionId']),
        processServers: servers.map((server) => processServerDetails(server, fabric, raised)),
      };
    case 'InMageRcm':
      return {
        instanceType: 'InMageRcm',
        ...pick(sent, ['vmwareSiteId', 'physicalSiteId']),
        ...(sent.sourceAgentIdentity === undefined
          ? {}
          : { sourceAgentIdentityDetails: sent.sourceAgentIdentity }),
        processServers: servers.map((server) => processServerDetails(server, fabric, raised)),
        rcmProxies: [],
        pushInstallers: [],
        replicationAgents: [],
        reprotectAgents: [],
        marsAgents: [],
        dras: site === undefined ? [] : [draOf(fabric, servers, raised)],
        agentDetails: [],
      };
    default: {
      const said = site?.configurationServer;
      const itemCount = servers.reduce((sum, server) => sum + server.itemCount, 0);
      return {
        instanceType: 'VMware',
        processServers: servers.map((server) => processServerView(server, fabric, raised)),
        masterTargetServers: [],
        runAsAccounts: [],
        replicationPairCount: String(itemCount),
        processServerCount: String(servers.length),
        agentCount: String(itemCount),
        protectedServers: String(itemCount),
        csServiceStatus: serviceStatus(errorsOf(raised, fabric.id), 'ConfigurationServerSilent'),
        ipAddress: said?.addresses[0] ?? '',
        agentVersion: said?.version ?? site?.version ?? '',
        hostName: said?.hostName ?? site?.hostName ?? '',
        ...(site?.lastReportAt === undefined ? {} : { lastHeartbeat: site.lastReportAt }),
        versionStatus: 'UpToDate',
      };
    }
  }
}

/** The configuration server, which is this product's replication provider at the site. */
export function draOf(fabric: Fabric, servers: readonly ReportedProcessServer[], raised: Raised): unknown {
  const { site } = fabric;
  if (site === undefined) return undefined;
  const errors = fabricErrors(fabric, [], raised);
  return {
    id: site.siteId,
    name: site.hostName,
    biosId: site.siteId,
    version: site.configurationServer?.version ?? site.version,
    ...(site.lastReportAt === undefined ? {} : { lastHeartbeatUtc: site.lastReportAt }),
    health: healthOf(errors),
    healthErrors: errors,
    forwardProtectedItemCount: servers.reduce((sum, server) => sum + server.itemCount, 0),
    reverseProtectedItemCount: 0,
  };
}

export function pick(
  from: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    names.flatMap((name) =>
      from[name] === undefined || from[name] === null ? [] : [[name, from[name]] as const],
    ),
  );
}

/** A site's provider needs no row; others are rows that a client put. */
interface Provider {
  readonly id: string;
  readonly fabric: Fabric;
  readonly sent: Readonly<Record<string, unknown>>;
}

export function providerIdOf(fabric: Fabric): string | undefined {
  return fabric.site && childId(fabric.id, 'replicationRecoveryServicesProviders', fabric.site.siteId);
}

function providerView(
  { id, fabric, sent }: Provider,
  protectedItemCount: number,
  raised: Raised,
  clock: Clock,
): unknown {
  // The site's own. Of a provider that a client wrote down nothing was ever heard.
  const site = id === providerIdOf(fabric) ? fabric.site : undefined;
  const version = site?.configurationServer?.version ?? site?.version;
  const isSilent =
    site === undefined ||
    clock.now() - Date.parse(site.lastReportAt ?? site.registeredAt) > silentMilliseconds;
  return resourceView(id, {
    fabricType: fabric.instanceType,
    friendlyName: String(sent.machineName ?? site?.hostName ?? fabric.name),
    ...(version === undefined
      ? {}
      : {
          providerVersion: version,
          serverVersion: version,
          providerVersionState: 'Supported',
          providerVersionDetails: { version, status: 'Supported' },
        }),
    fabricFriendlyName: fabric.name,
    ...(site?.lastReportAt === undefined ? {} : { lastHeartBeat: site.lastReportAt }),
    connectionStatus: isSilent ? 'Disconnected' : 'Connected',
    protectedItemCount,
    allowedScenarios: ['ProtectVMwareVirtualMachine', 'ProtectPhysicalServer'],
    healthErrorDetails: fabricErrors(fabric, [], raised),
    draIdentifier: site?.siteId ?? '',
    machineId: String(sent.machineId ?? site?.siteId ?? ''),
    machineName: String(sent.machineName ?? site?.hostName ?? ''),
    biosId: String(sent.biosId ?? site?.siteId ?? ''),
    ...(sent.authenticationIdentityInput === undefined
      ? {}
      : { authenticationIdentityDetails: sent.authenticationIdentityInput }),
    ...(sent.resourceAccessIdentityInput === undefined
      ? {}
      : { resourceAccessIdentityDetails: sent.resourceAccessIdentityInput }),
    ...(sent.dataPlaneAuthenticationIdentityInput === undefined
      ? {}
      : { dataPlaneAuthenticationIdentityDetails: sent.dataPlaneAuthenticationIdentityInput }),
  });
}

export function fabrics(parts: NounParts): Handlers {
  const { resources, database, clock } = parts;
  const reader = new SiteReader(parts);
  const fabricOf = (request: ArmRequest) => reader.fabric(vaultOf(request), request.parameters.fabricName!);
  const view = async (fabric: Fabric) => {
    const servers = await reader.processServers(fabric);
    return fabricView(fabric, servers, await raisedOfFabrics(database, [[fabric, servers]]));
  };

  const providersOf = async (fabric: Fabric): Promise<Provider[]> => {
    const rows = await allChildren(resources, fabric.id, 'replicationRecoveryServicesProviders');
    const own = providerIdOf(fabric);
    return [
      ...(own === undefined ? [] : [{ id: own, fabric, sent: {} }]),
      ...rows
        .filter(({ id }) => own === undefined || idKey(id) !== idKey(own))
        .map(({ id, properties }) => ({ id, fabric, sent: properties })),
    ];
  };
  const providerOf = async (request: ArmRequest): Promise<Provider> => {
    const fabric = await fabricOf(request);
    const id = childId(fabric.id, 'replicationRecoveryServicesProviders', request.parameters.providerName!);
    const found = (await providersOf(fabric)).find((provider) => idKey(provider.id) === idKey(id));
    if (found === undefined) throw notFound(id);
    return found;
  };
  const providerViews = async (vaultId: string, providers: readonly Provider[]) => {
    const counts = await items.countBy(database, vaultId, 'fabric_key');
    const raised = await raisedOfFabrics(
      database,
      providers.map(({ fabric }) => [fabric, []]),
    );
    return (provider: Provider) =>
      providerView(provider, counts.get(provider.fabric.name.toLowerCase()) ?? 0, raised, clock);
  };

  const containerView = async (vaultId: string) => {
    const counts = await items.countBy(database, vaultId, 'container_key');
    const mapped = new Set(
      (
        await resources.inVault(vaultId, 'replicationProtectionContainerMappings', { limit: 1000 })
      ).resources.map(({ id }) => idKey(id.split('/').slice(0, 13).join('/'))),
    );
    return ({ id, name, fabric }: Container) =>
      resourceView(id, {
        fabricFriendlyName: fabric.name,
        friendlyName: name,
        fabricType: fabric.instanceType,
        protectedItemCount: counts.get(idKey(id)) ?? 0,
        pairingStatus: mapped.has(idKey(id)) ? 'Paired' : 'NotPaired',
        role: 'Primary',
        fabricSpecificDetails: { instanceType: fabric.instanceType },
      });
  };

  const removeFabric = async (request: ArmRequest, isPurge: boolean) => {
    const fabric = await reader.findFabric(vaultOf(request), request.parameters.fabricName!);
    if (fabric === undefined) return { empty: true } as const;
    const count = await items.count(database, { vaultId: vaultOf(request), fabricName: fabric.name });
    if (count > 0) throw nounErrors.ResourceInUse(fabric.id, `${count} protected items`);
    if (!isPurge) {
      const mappings = (await resources.descendants(fabric.id)).filter(({ type }) =>
        type.endsWith('/replicationProtectionContainerMappings'),
      );
      if (mappings.length > 0)
        throw nounErrors.ResourceInUse(fabric.id, `the association ${mappings[0]!.id}`);
    }
    return deleteRow(parts, request, 'fabric', fabric.id);
  };
  /** Asks the site's next report to be waited for. */
  const refresh = async (request: ArmRequest, fabric: Fabric, id: string) => {
    if (fabric.site === undefined) throw nounErrors.SiteNotRegistered(fabric.name);
    return startJob(parts, request, 'refresh-site', targetOf(id, fabric.name), {
      id,
      askedAt: new Date(clock.now()).toISOString(),
    });
  };

  return {
    'replicationFabrics.list': async (request) => {
      const answer = pageOfAll(request, await reader.fabrics(vaultOf(request)), (fabric) => fabric);
      const page = 'page' in answer ? (answer.page as Fabric[]) : [];
      return { ...answer, page: await Promise.all(page.map(view)) };
    },
    'replicationFabrics.get': async (request) => ({ body: await view(await fabricOf(request)) }),
    'replicationFabrics.create': async (request) => {
      const name = request.parameters.fabricName!;
      checkName(name);
      const { customDetails: sent } = propertiesOf<{ customDetails?: Record<string, unknown> }>(request);
      if (sent === undefined)
        throw errors.InvalidRequestContent('properties.customDetails is required', 'customDetails');
      const known = await reader.findFabric(vaultOf(request), name);
      if (known?.row !== undefined && known.instanceType !== sent.instanceType)
        throw nounErrors.ResourceExists(known.id, `of the kind ${known.instanceType}`);
      const id = known?.id ?? childId(vaultOf(request), 'replicationFabrics', name);
      return putRow(parts, request, 'fabric', id, { customDetails: sent });
    },
    'replicationFabrics.delete': (request) => removeFabric(request, false),
    'replicationFabrics.purge': (request) => removeFabric(request, true),
    'replicationFabrics.removeInfra': (request) => removeFabric(request, true),
    'replicationFabrics.checkConsistency': async (request) => {
      const fabric = await fabricOf(request);
      return refresh(request, fabric, fabric.id);
    },

    'replicationRecoveryServicesProviders.list': async (request) => {
      const all = (await Promise.all((await reader.fabrics(vaultOf(request))).map(providersOf))).flat();
      return pageOfAll(request, all, await providerViews(vaultOf(request), all));
    },
    'replicationRecoveryServicesProviders.listByReplicationFabrics': async (request) => {
      const all = await providersOf(await fabricOf(request));
      return pageOfAll(request, all, await providerViews(vaultOf(request), all));
    },
    'replicationRecoveryServicesProviders.get': async (request) => {
      const provider = await providerOf(request);
      return { body: (await providerViews(vaultOf(request), [provider]))(provider) };
    },
    'replicationRecoveryServicesProviders.create': async (request) => {
      checkName(request.parameters.providerName!);
      const fabric = await fabricOf(request);
      return putRow(
        parts,
        request,
        'provider',
        childId(fabric.id, 'replicationRecoveryServicesProviders', request.parameters.providerName!),
        propertiesOf(request),
      );
    },
    'replicationRecoveryServicesProviders.refreshProvider': async (request) => {
      const { id, fabric } = await providerOf(request);
      return refresh(request, fabric, id);
    },
    ...Object.fromEntries(
      ['delete', 'purge'].map((operation) => [
        `replicationRecoveryServicesProviders.${operation}`,
        async (request: ArmRequest) => {
          const { id, fabric } = await providerOf(request);
          // The site's own provider is the site: the fabric goes, or nothing does.
          if (id === providerIdOf(fabric)) throw nounErrors.ResourceInUse(id, `the fabric ${fabric.name}`);
          return deleteRow(parts, request, 'provider', id);
        },
      ]),
    ),

    'replicationProtectionContainers.list': async (request) => {
      const all = (await reader.fabrics(vaultOf(request))).flatMap((fabric) => containerOf(fabric) ?? []);
      return pageOfAll(request, all, await containerView(vaultOf(request)));
    },
    'replicationProtectionContainers.listByReplicationFabrics': async (request) => {
      const own = containerOf(await fabricOf(request));
      return pageOfAll(request, own === undefined ? [] : [own], await containerView(vaultOf(request)));
    },
    'replicationProtectionContainers.get': async (request) => {
      const { fabricName, protectionContainerName } = request.parameters;
      const container = await reader.container(vaultOf(request), fabricName!, protectionContainerName!);
      return { body: (await containerView(vaultOf(request)))(container) };
    },
  };
}
