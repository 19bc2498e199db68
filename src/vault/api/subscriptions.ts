/**
 * What every client asks before it asks for a vault: which tenant, which subscription, which providers. There is one of each.
 */
import { operations } from '../../protocol/arm/description.ts';
import { errors } from './errors.ts';
import type { Handlers } from './operation.ts';

export interface SubscriptionParts {
  readonly tenantId: string;
  readonly subscriptionId: string;
  readonly displayName: string;
  /** Names of the places that vaults may be in. */
  readonly locations: readonly string[];
}

export function subscriptionHandlers(parts: SubscriptionParts): Handlers {
  const { tenantId, subscriptionId, displayName } = parts;
  const subscription = {
    id: `/subscriptions/${subscriptionId}`,
    subscriptionId,
    tenantId,
    displayName,
    state: 'Enabled',
    authorizationSource: 'RoleBased',
    subscriptionPolicies: { locationPlacementId: 'Leeward', quotaId: 'Leeward', spendingLimit: 'Off' },
    managedByTenants: [],
  };
  const providers = [
    provider(subscriptionId, 'Microsoft.RecoveryServices', ['vaults', ...vaultTypes()], parts.locations),
    provider(subscriptionId, 'Microsoft.Resources', ['subscriptions', 'resourceGroups'], parts.locations),
    provider(subscriptionId, 'Microsoft.Authorization', ['roleAssignments', 'roleDefinitions'], []),
    provider(subscriptionId, 'Microsoft.Insights', ['eventtypes'], []),
  ];
  return {
    'tenants.list': async () => ({
      page: [
        {
          id: `/tenants/${tenantId}`,
          tenantId,
          displayName,
          tenantCategory: 'Home',
          defaultDomain: 'leeward.local',
          domains: ['leeward.local'],
          tenantType: 'AAD',
        },
      ],
    }),
    'subscriptions.list': async () => ({ page: [subscription] }),
    'subscriptions.get': async () => ({ body: subscription }),
    'subscriptions.listLocations': async () => ({
      page: parts.locations.map((name) => ({
        id: `/subscriptions/${subscriptionId}/locations/${name}`,
        subscriptionId,
        name,
        type: 'Region',
        displayName: name,
        regionalDisplayName: name,
        metadata: { regionType: 'Physical', regionCategory: 'Other' },
      })),
    }),
    'providers.list': async () => ({ page: providers }),
    'providers.get': async ({ parameters }) => {
      const asked = parameters.resourceProviderNamespace!;
      const found = providers.find(({ namespace }) => namespace.toLowerCase() === asked.toLowerCase());
      if (found === undefined) throw errors.ResourceNotFound('providers', asked, 'this vault');
      return { body: found };
    },
  };
}

function provider(
  subscriptionId: string,
  namespace: string,
  types: readonly string[],
  locations: readonly string[],
) {
  return {
    id: `/subscriptions/${subscriptionId}/providers/${namespace}`,
    namespace,
    registrationState: 'Registered',
    registrationPolicy: 'RegistrationFree',
    resourceTypes: types.map((resourceType) => ({
      resourceType,
      locations,
      apiVersions: ['2026-11-01', '2025-08-01', '2025-02-01', '2024-04-01', '2023-06-01', '2022-08-01'],
      capabilities: 'None',
    })),
  };
}

/** `vaults/replicationFabrics`, … out of the description's paths. */
function vaultTypes(): string[] {
  const found = new Set<string>();
  for (const { method, path } of operations) {
    const below = /\/vaults\/\{[^}]+\}\/(.+)$/.exec(path)?.[1]?.split('/');
    if (!below || method === 'POST') continue;
    found.add(['vaults', ...below.filter((_, index) => index % 2 === 0)].join('/'));
  }
  return [...found].sort();
}
