/**
 * Resource ids, the way every answer writes them: one constant case, whatever case the request had. Clients compare ids as
 * text, so two spellings of one resource would look like a change.
 */
const provider = 'providers/Microsoft.RecoveryServices';

/** `/subscriptions/…/vaults/{vault}`. */
export function vaultResourceId(subscriptionId: string, resourceGroup: string, vault: string): string {
  return `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/${provider}/vaults/${vault}`;
}

/** `childId(vault, 'replicationFabrics', 'site1', 'replicationProtectionContainers', 'c')`: type and name in turn. */
export function childId(parent: string, ...segments: readonly string[]): string {
  return [parent, ...segments].join('/');
}

/** Under which rows are kept and found: ids without regard to case. */
export const idKey = (id: string): string => id.toLowerCase();

/** `Microsoft.RecoveryServices/vaults/replicationFabrics`: every second segment after the provider. */
export function resourceType(id: string): string {
  const segments = id.split(`/${provider}/`)[1]?.split('/') ?? [];
  return ['Microsoft.RecoveryServices', ...segments.filter((_, index) => index % 2 === 0)].join('/');
}

/** Type and name of each level under the vault, e.g. `{replicationFabrics: 'site1', …}`. Undefined: not an id of ours. */
export function parseResourceId(
  id: string,
): { readonly vaultId: string; readonly names: Readonly<Record<string, string>> } | undefined {
  const match = new RegExp(
    `^/subscriptions/([^/]+)/resourceGroups/([^/]+)/${provider.replace('.', '\\.')}/vaults/([^/]+)(/.*)?$`,
    'i',
  ).exec(id);
  if (!match) return undefined;
  const rest = (match[4] ?? '').split('/').slice(1);
  if (rest.length % 2 !== 0) return undefined;
  const names: Record<string, string> = {};
  for (let index = 0; index < rest.length; index += 2) names[rest[index]!] = rest[index + 1]!;
  return { vaultId: vaultResourceId(match[1]!, match[2]!, match[3]!), names };
}
