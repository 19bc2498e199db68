/** `LEEWARD_…` lines by which any client finds a vault of one's own; `make vault` and `make demo` write them. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface VaultNames {
  readonly resourceGroup: string;
  readonly vault: string;
}

/** Who may do everything, as the vault wrote it when it first ran. */
export async function readOwner(data: string): Promise<Record<string, string>> {
  return JSON.parse(await readFile(join(data, 'owner.json'), 'utf8')) as Record<string, string>;
}

/** For its owner alone: the secret is in it. */
export async function writeEnvironment(
  file: string,
  data: string,
  url: string,
  { resourceGroup, vault }: VaultNames,
): Promise<void> {
  const owner = await readOwner(data);
  const text = Object.entries({
    LEEWARD_URL: url,
    LEEWARD_CA_FILE: join(data, 'tls/ca.pem'),
    LEEWARD_TENANT_ID: owner.tenantId,
    LEEWARD_CLIENT_ID: owner.clientId,
    LEEWARD_CLIENT_SECRET: owner.clientSecret,
    LEEWARD_SUBSCRIPTION_ID: owner.subscriptionId,
    LEEWARD_RESOURCE_GROUP: resourceGroup,
    LEEWARD_VAULT: vault,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
