/**
 * Registration keys: what a configuration server registers with. An extension of ours to the reference's paths:
 *
 *     POST   …/vaults/{v}/registrationKeys          {properties?: {fabricName?}} ─▶ the key, whose content is shown this once
 *     GET    …/vaults/{v}/registrationKeys          keys of the vault and what became of them, newest first
 *     DELETE …/vaults/{v}/registrationKeys/{name}   revoked
 *
 * The reference's own way works as well: a certificate uploaded under a name that ends in `vaultcredentials`
 * (`vault-details.ts`) answers a key in the property `leewardVaultCredentials`.
 */
import type { Registration } from '../registration/registration.ts';
import type { RegistrationKey } from '../store/registration-keys.ts';
import type { Resources } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';

export interface RegistrationKeyParts {
  readonly registration: Registration;
  readonly resources: Resources;
  readonly subscriptionId: string;
  readonly now: () => number;
}

const type = 'Microsoft.RecoveryServices/vaults/registrationKeys';
/** As resource names of fabrics: what may stand in a path and in a certificate's name. */
const fabricNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

export function registrationKeyHandlers(parts: RegistrationKeyParts): Handlers {
  const { registration } = parts;
  return {
    'registrationKeys.create': async (request) => {
      const fabricName = fabricNameOf(request.body);
      const key = await issueKey(parts, request, fabricName);
      return {
        created: true,
        body: {
          id: `${request.vaultId}/registrationKeys/${key.keyId}`,
          name: key.keyId,
          type,
          properties: {
            state: 'Issued',
            ...(fabricName === undefined ? {} : { fabricName }),
            issuedAt: key.issuedAt,
            expiresAt: key.expiresAt,
            fileName: key.fileName,
            content: key.content,
          },
        },
      };
    },
    'registrationKeys.list': async ({ vaultId }) => ({
      page: (await registration.listKeys(vaultId!)).map((key) => view(vaultId!, key, parts.now())),
    }),
    'registrationKeys.delete': async ({ vaultId, parameters }) => {
      const name = parameters.registrationKeyName!;
      if (!(await registration.revokeKey(vaultId!, name.toLowerCase())))
        throw errors.ResourceNotFound(type, name, `'${vaultId}'`);
      return { empty: true };
    },
  };
}

/** A new key for the request's vault; earlier ones that were not used are superseded. */
export async function issueKey(
  { registration, resources, subscriptionId }: Omit<RegistrationKeyParts, 'now'>,
  { vaultId, parameters, principal }: ArmRequest,
  fabricName?: string,
) {
  const row = await resources.get(vaultId!);
  return registration.issueKey({
    vaultId: vaultId!,
    subscriptionId,
    resourceGroup: parameters.resourceGroupName!,
    vaultName: vaultId!.split('/').at(-1)!,
    location: String(row?.properties.location ?? ''),
    fabricName,
    requestedBy: principal.objectId,
  });
}

function fabricNameOf(body: unknown): string | undefined {
  const isObject = (value: unknown) =>
    value === undefined || value === null || (typeof value === 'object' && !Array.isArray(value));
  const { properties } = (body ?? {}) as { properties?: { fabricName?: unknown } };
  if (!isObject(body) || !isObject(properties))
    throw errors.InvalidRequestContent(
      `${isObject(body) ? 'properties' : 'The body'}: an object is expected.`,
      isObject(body) ? 'properties' : undefined,
    );
  const name = properties?.fabricName;
  if (name === undefined || name === null) return undefined;
  if (typeof name !== 'string' || !fabricNamePattern.test(name))
    throw errors.InvalidRequestContent(
      'properties.fabricName: 1 to 63 letters, digits, hyphens and underscores are expected, a letter or digit first.',
      'properties.fabricName',
    );
  return name;
}

function view(vaultId: string, key: RegistrationKey, now: number): unknown {
  return {
    id: `${vaultId}/registrationKeys/${key.keyId}`,
    name: key.keyId,
    type,
    properties: {
      state: stateOf(key, now),
      fabricName: key.fabricName,
      issuedAt: key.issuedAt,
      expiresAt: key.expiresAt,
      requestedBy: key.requestedBy,
      usedAt: key.usedAt,
      revokedAt: key.revokedAt,
      supersededAt: key.supersededAt,
    },
  };
}

/** In the order in which a registration would be refused. */
function stateOf(key: RegistrationKey, now: number): string {
  if (key.revokedAt !== undefined) return 'Revoked';
  if (key.usedAt !== undefined) return 'Used';
  if (key.supersededAt !== undefined) return 'Superseded';
  return Date.parse(key.expiresAt) <= now ? 'Expired' : 'Issued';
}
