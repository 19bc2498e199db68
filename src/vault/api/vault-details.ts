/**
 * What a vault has besides itself: certificates, extended information, usages, identities, private links, and the questions
 * that are asked before there is a vault (is the name free, which operations are there).
 */
import { X509Certificate } from 'node:crypto';
import { type Operation, operations } from '../../protocol/arm/description.ts';
import { childId, vaultResourceId } from '../../protocol/arm/resource-id.ts';
import { actionOf } from '../access/actions.ts';
import type { Properties } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { etagOf, type VaultParts } from './vaults.ts';

/** Counted by the houses that have them. */
export interface VaultFigures {
  readonly protectedItemCount: number;
  readonly unhealthyItemCount: number;
  readonly recoveryPlanCount: number;
  readonly registeredServerCount: number;
  readonly unhealthyServerCount: number;
  readonly failedJobCount: number;
  readonly suspendedJobCount: number;
  readonly runningJobCount: number;
  readonly eventCount: number;
}

export interface VaultDetailsParts extends VaultParts {
  readonly figures: (vaultId: string) => Promise<VaultFigures>;
  /** Forgets a registered site; false: there is none of that name. */
  readonly unregister: (vaultId: string, identityName: string) => Promise<boolean>;
  readonly publicUrl: () => string;
  /** A registration key's file for the request's vault. Undefined: this vault gives none out. */
  readonly vaultCredentials?: (request: ArmRequest) => Promise<string>;
}

export function vaultDetailsHandlers(parts: VaultDetailsParts): Handlers {
  const { resources } = parts;
  const extendedId = (request: ArmRequest) =>
    childId(request.vaultId!, 'extendedInformation', 'vaultExtendedInfo');

  const extendedInfo = async (request: ArmRequest) => {
    const row = await resources.get(extendedId(request));
    if (row === undefined)
      throw errors.ResourceNotFound(
        'Microsoft.RecoveryServices/vaults/extendedInformation',
        'vaultExtendedInfo',
        `vault '${request.parameters.vaultName}'`,
      );
    return {
      body: {
        id: row.id,
        name: row.name,
        type: row.type,
        etag: etagOf(row),
        properties: row.properties,
      },
    };
  };

  /** The reference's clients upload a certificate under such a name when somebody downloads a registration key. Others
   * upload certificates for other ends, and must not supersede a key by it. */
  const credentialsFor = async (request: ArmRequest) =>
    parts.vaultCredentials && /vaultcredentials$/i.test(request.parameters.certificateName!)
      ? { leewardVaultCredentials: await parts.vaultCredentials(request) }
      : {};

  return {
    'vaultExtendedInfo.get': extendedInfo,
    'vaultExtendedInfo.createOrUpdate': async (request) => {
      const { properties } = request.body as { properties?: Properties };
      await resources.put(extendedId(request), properties ?? {});
      return extendedInfo(request);
    },
    'vaultExtendedInfo.update': async (request) => {
      const { properties } = request.body as { properties?: Properties };
      await resources.update(extendedId(request), (before) => ({ ...before, ...properties }));
      return extendedInfo(request);
    },

    'vaultCertificates.create': async (request) => {
      const { properties } = request.body as { properties?: { certificate?: string } };
      const certificate = readCertificate(properties?.certificate, parts.clock.now());
      const id = childId(request.vaultId!, 'certificates', request.parameters.certificateName!);
      const before = (await resources.get(id))?.properties;
      const { resource } = await resources.put(id, {
        certificate: properties!.certificate,
        servicePrincipalClientId: before?.servicePrincipalClientId ?? parts.random.uuid(),
        servicePrincipalObjectId: before?.servicePrincipalObjectId ?? parts.random.uuid(),
      });
      return {
        body: {
          id: resource.id,
          name: resource.name,
          type: resource.type,
          properties: {
            authType: 'AzureActiveDirectory',
            certificate: properties!.certificate,
            friendlyName: resource.name,
            issuer: oneLine(certificate.issuer),
            subject: oneLine(certificate.subject),
            thumbprint: certificate.fingerprint.replaceAll(':', ''),
            validFrom: new Date(certificate.validFrom).toISOString(),
            validTo: new Date(certificate.validTo).toISOString(),
            resourceId: numberOf(request.vaultId!),
            aadAuthority: parts.publicUrl(),
            aadTenantId: parts.tenantId,
            servicePrincipalClientId: resource.properties.servicePrincipalClientId,
            servicePrincipalObjectId: resource.properties.servicePrincipalObjectId,
            azureManagementEndpointAudience: `${parts.publicUrl()}/`,
            serviceResourceId: request.vaultId,
            aadAudience: `${parts.publicUrl()}/`,
            ...(await credentialsFor(request)),
          },
        },
      };
    },

    'replicationUsages.list': async (request) => {
      const figures = await parts.figures(request.vaultId!);
      return {
        page: [
          {
            monitoringSummary: {
              unHealthyVmCount: figures.unhealthyItemCount,
              unHealthyProviderCount: figures.unhealthyServerCount,
              eventsCount: figures.eventCount,
              deprecatedProviderCount: 0,
              supportedProviderCount: figures.registeredServerCount,
              unsupportedProviderCount: 0,
            },
            jobsSummary: {
              failedJobs: figures.failedJobCount,
              suspendedJobs: figures.suspendedJobCount,
              inProgressJobs: figures.runningJobCount,
            },
            protectedItemCount: figures.protectedItemCount,
            recoveryPlanCount: figures.recoveryPlanCount,
            registeredServersCount: figures.registeredServerCount,
            recoveryServicesProviderAuthType: 1,
          },
        ],
      };
    },
    'usages.listByVaults': async (request) => {
      const figures = await parts.figures(request.vaultId!);
      const usage = (value: string, localizedValue: string, currentValue: number) => ({
        unit: 'Count',
        name: { value, localizedValue },
        currentValue,
        // Not limited by the product; disks and network decide.
        limit: -1,
      });
      return {
        page: [
          usage('ProtectedItems', 'Protected items', figures.protectedItemCount),
          usage('RegisteredServers', 'Registered sites', figures.registeredServerCount),
          usage('RecoveryPlans', 'Recovery plans', figures.recoveryPlanCount),
        ],
      };
    },

    'registeredIdentities.delete': async (request) => {
      const name = request.parameters.identityName!;
      if (!(await parts.unregister(request.vaultId!, name)))
        throw errors.ResourceNotFound(
          'Microsoft.RecoveryServices/vaults/registeredIdentities',
          name,
          `vault '${request.parameters.vaultName}'`,
        );
      return { empty: true };
    },

    // A vault is reached at its own address: there is nothing that a private endpoint could connect to.
    'privateLinkResources.list': async () => ({ page: [] }),
    'privateLinkResources.get': async (request) => {
      throw errors.ResourceNotFound(
        'Microsoft.RecoveryServices/vaults/privateLinkResources',
        request.parameters.privateLinkResourceName!,
        `vault '${request.parameters.vaultName}'`,
      );
    },

    'recoveryServices.checkNameAvailability': async (request) => {
      const { type, name } = request.body as { type?: string; name?: string };
      if (type === undefined || name === undefined)
        throw errors.InvalidRequestContent(
          'type and name are required.',
          type === undefined ? 'type' : 'name',
        );
      if (type.toLowerCase() !== 'microsoft.recoveryservices/vaults')
        throw errors.InvalidRequestContent(
          `type: '${type}' is not known; known: Microsoft.RecoveryServices/Vaults.`,
          'type',
        );
      if (!/^[A-Za-z][A-Za-z0-9-]{1,49}$/.test(name))
        return {
          body: {
            nameAvailable: false,
            reason: 'Invalid',
            message: 'A vault’s name has 2 to 50 letters, digits and hyphens, and begins with a letter.',
          },
        };
      const id = vaultResourceId(parts.subscriptionId, request.parameters.resourceGroupName!, name);
      return {
        body:
          (await resources.get(id)) === undefined
            ? { nameAvailable: true }
            : {
                nameAvailable: false,
                reason: 'AlreadyExists',
                message: `There is a vault '${name}' in this resource group.`,
              },
      };
    },
    'recoveryServices.capabilities': async (request) => {
      const { type, properties } = request.body as {
        type: string;
        properties?: { dnsZones?: readonly { subResource?: string }[] };
      };
      return {
        body: {
          type,
          properties: {
            // Zones are for private endpoints, which need none here.
            dnsZones: (properties?.dnsZones ?? []).map(({ subResource }) => ({
              subResource,
              requiredZoneNames: [],
            })),
          },
        },
      };
    },

    'provider.listOperations': async () => ({ page: discovered(() => true).map(({ row }) => row) }),
    'operations.list': async () => ({
      page: discovered(({ api }) => api === 'siteRecovery').map(({ row }) => row),
    }),
  };
}

/** Each action once: several operations may be one (`list` and `get` are both `read`). */
function discovered(fits: (operation: Operation) => boolean) {
  const byName = new Map<string, { readonly row: Properties }>();
  for (const operation of operations.filter(fits)) {
    const name = actionOf(operation.method, operation.path);
    if (byName.has(name)) continue;
    const segments = name.split('/');
    byName.set(name, {
      row: {
        name,
        origin: 'user',
        display: {
          provider: 'Leeward',
          resource: segments.slice(1, -1).join('/'),
          operation: operation.id,
          description: `${operation.method} ${operation.path}`,
        },
      },
    });
  }
  return [...byName.values()];
}

function readCertificate(text: string | undefined, now: number): X509Certificate {
  if (text === undefined)
    throw errors.InvalidRequestContent('properties.certificate: is required.', 'properties.certificate');
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(Buffer.from(text, 'base64'));
  } catch {
    throw errors.InvalidCertificate('it cannot be read as X.509');
  }
  if (Date.parse(certificate.validTo) < now)
    throw errors.InvalidCertificate(`it ended at ${certificate.validTo}`);
  return certificate;
}

/** Node answers one name a line. */
const oneLine = (name: string): string => name.split('\n').join(', ');

/** The reference numbers vaults; here the number is made of the id, so that it is always the same. */
function numberOf(id: string): number {
  let number = 0;
  for (const character of id.toLowerCase()) number = (number * 31 + character.codePointAt(0)!) % 2 ** 48;
  return number;
}
