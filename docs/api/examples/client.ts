/** Signs in at the vault that `vault.env` names; nothing in it is Leeward's own. */
import { readFileSync } from 'node:fs';
import { RecoveryServicesClient } from '@azure/arm-recoveryservices';
import { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { ClientSecretCredential } from '@azure/identity';

const {
  LEEWARD_URL: url,
  LEEWARD_CA_FILE: caFile,
  LEEWARD_TENANT_ID: tenant,
  LEEWARD_CLIENT_ID: client,
  LEEWARD_CLIENT_SECRET: secret,
  LEEWARD_SUBSCRIPTION_ID: subscription,
  LEEWARD_RESOURCE_GROUP: group,
  LEEWARD_VAULT: vault,
} = process.env;
if (!url || !caFile || !tenant || !client || !secret || !subscription || !group || !vault)
  throw new Error('load vault.env first: set -a; . .run/vault.env; set +a');

const tlsOptions = { ca: readFileSync(caFile, 'utf8') };
const credential = new ClientSecretCredential(tenant, client, secret, {
  authorityHost: url,
  disableInstanceDiscovery: true,
  tlsOptions,
});
const options = { endpoint: url, credentialScopes: `${url}/.default`, tlsOptions };

export const siteRecovery = new SiteRecoveryManagementClient(credential, subscription, options);
export const vaults = new RecoveryServicesClient(credential, subscription, options);
export const resourceGroup = group;
export const vaultName = vault;

/** All items of a paged list. */
export async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of list) found.push(item);
  return found;
}

export const lastName = (id: string | undefined): string => id?.split('/').at(-1) ?? '';
