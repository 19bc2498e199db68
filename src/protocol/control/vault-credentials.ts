/**
 * A registration key: the file that a person downloads from the vault and gives to a configuration server. It says where
 * the vault is, whom to trust there, and has a secret that works once. Format: docs/formats/vault-credentials.md.
 *
 *     vault: claims ── signed by its authority ──▶ token ──▶ XML in the shape of the reference's file
 *     site:  XML ──▶ token, and nothing around it says otherwise ──▶ claims ──▶ register
 *
 * The token is what counts: the elements around it are there for people and for tools that know the reference's file, and
 * a file in which they contradict the token has been tampered with.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { catalogue } from '../../platform/errors.ts';

export const VaultCredentialsClaims = z.strictObject({
  format: z.literal('leeward-vault-credentials/1'),
  keyId: z.guid(),
  /** A key is good for one thing. */
  purpose: z.literal('register-site'),
  vaultId: z.string().startsWith('/subscriptions/').max(600),
  subscriptionId: z.string().max(100),
  resourceGroup: z.string().max(100),
  vaultName: z.string().max(100),
  location: z.string().max(100),
  tenantId: z.string().max(100),
  /** The site's name at the vault; undefined: the configuration server's host name. */
  fabricName: z.string().min(1).max(63).optional(),
  url: z.url(),
  caPem: z.string().max(16_384),
  /** 32 bytes, base64url. */
  secret: z.string().length(43),
  issuedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
});
export type VaultCredentialsClaims = z.infer<typeof VaultCredentialsClaims>;

/** Claims with a CA of 700 characters have 1,500; as XML in base64 three times that. */
export const vaultCredentialsBytesMax = 64 << 10;
/** As the reference's keys: five days. */
export const vaultCredentialsDays = 5;

export const vaultCredentialsErrors = catalogue({
  RegistrationKeyTampered: (why: string) => ({
    summary: `the registration key is not as the vault wrote it: ${why}`,
    possibleCauses: 'The file was edited, cut off or damaged on its way, or it is another file.',
    recommendedAction: 'Download a new key from the vault and use that file as it is.',
    context: { status: 403 },
  }),
  RegistrationKeyExpired: (expiredAt: string, now: string) => ({
    summary: `the registration key was good until ${expiredAt}; the clock here says ${now}`,
    possibleCauses: `Keys are good for ${vaultCredentialsDays} days. Or the clock of this machine is wrong.`,
    recommendedAction: 'Check the clock, then download a new key from the vault.',
    context: { status: 403, expiredAt },
  }),
});

/** `<claims as JSON, base64url>.<signature, base64url>`; ECDSA with SHA-256 over the first part as it stands. */
export function signClaims(claims: VaultCredentialsClaims, authorityKey: KeyObject): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const signature = sign('sha256', Buffer.from(payload), { key: authorityKey, dsaEncoding: 'ieee-p1363' });
  return `${payload}.${signature.toString('base64url')}`;
}

/** The claims, if `caPem`'s key signed them. Throws `RegistrationKeyTampered`. */
export function verifyToken(token: string, caPem: string): VaultCredentialsClaims {
  const claims = readToken(token);
  const [payload, signature] = token.split('.');
  const isGenuine = verify(
    'sha256',
    Buffer.from(payload!),
    { key: createPublicKey(caPem), dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature!, 'base64url'),
  );
  if (!isGenuine)
    throw vaultCredentialsErrors.RegistrationKeyTampered('its signature is not that of the vault');
  return claims;
}

/** What a token says, signed or not. */
export function readToken(token: string): VaultCredentialsClaims {
  const parts = token.split('.');
  if (parts.length !== 2 || !parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part)))
    throw vaultCredentialsErrors.RegistrationKeyTampered('it does not have a token');
  try {
    return VaultCredentialsClaims.parse(JSON.parse(Buffer.from(parts[0]!, 'base64url').toString()));
  } catch {
    throw vaultCredentialsErrors.RegistrationKeyTampered('its token cannot be read');
  }
}

export interface VaultCredentialsFile {
  readonly token: string;
  readonly claims: VaultCredentialsClaims;
}

/** Elements in the order in which the reference's serializer writes them. */
const elements: readonly (readonly [path: string, of: (claims: VaultCredentialsClaims) => string])[] = [
  ['VaultDetails/SubscriptionId', (claims) => claims.subscriptionId],
  ['VaultDetails/ResourceGroup', (claims) => claims.resourceGroup],
  ['VaultDetails/ResourceName', (claims) => claims.vaultName],
  ['VaultDetails/ResourceId', (claims) => String(resourceNumber(claims.vaultId))],
  ['VaultDetails/Location', (claims) => claims.location],
  ['VaultDetails/ResourceType', () => 'vaults'],
  ['VaultDetails/ProviderNamespace', () => 'Microsoft.RecoveryServices'],
  ['Version', () => '2.0'],
  ['AadDetails/AadAuthority', (claims) => claims.url],
  ['AadDetails/AadTenantId', (claims) => claims.tenantId],
  ['AadDetails/ServicePrincipalClientId', (claims) => claims.keyId],
  ['AadDetails/AadVaultAudience', (claims) => claims.url],
  ['AadDetails/ArmManagementEndpoint', (claims) => claims.url],
  ['SiteName', (claims) => claims.fabricName ?? ''],
];

/** The reference has a number here; ours is made of the id, so that it is always the same. */
export function resourceNumber(vaultId: string): number {
  return createHash('sha256').update(vaultId.toLowerCase()).digest().readUIntBE(0, 6);
}

const namespace =
  'http://schemas.datacontract.org/2004/07/Microsoft.Azure.Portal.RecoveryServices.Models.Common';

export function writeVaultCredentials(token: string, claims: VaultCredentialsClaims): string {
  const value = new Map(elements.map(([path, of]) => [path, of(claims)]));
  const element = (path: string, indent: string) =>
    `${indent}<${path.split('/').at(-1)}>${escapeXml(value.get(path)!)}</${path.split('/').at(-1)}>`;
  const group = (name: string) => [
    `  <${name}>`,
    ...elements.filter(([path]) => path.startsWith(`${name}/`)).map(([path]) => element(path, '    ')),
    `  </${name}>`,
  ];
  return `${[
    '<?xml version="1.0" encoding="utf-8"?>',
    `<RSVaultAsrCreds xmlns="${namespace}">`,
    ...group('VaultDetails'),
    `  <ManagementCert>${Buffer.from(token).toString('base64')}</ManagementCert>`,
    element('Version', '  '),
    ...group('AadDetails'),
    '  <ChannelIntegrityKey></ChannelIntegrityKey>',
    '  <SiteId></SiteId>',
    element('SiteName', '  '),
    '</RSVaultAsrCreds>',
  ].join('\n')}\n`;
}

/**
 * Reads a file and checks what can be checked without the vault: that it is whole, that its elements say what its token
 * says, and that the authority it names signed it. Throws `RegistrationKeyTampered`.
 */
export function readVaultCredentials(text: string): VaultCredentialsFile {
  const found = readElements(text);
  const encoded = found.get('ManagementCert');
  if (encoded === undefined) throw vaultCredentialsErrors.RegistrationKeyTampered('it has no ManagementCert');
  const token = Buffer.from(encoded, 'base64').toString();
  const claimed = readToken(token);
  let claims: VaultCredentialsClaims;
  try {
    claims = verifyToken(token, new X509Certificate(claimed.caPem).toString());
  } catch {
    throw vaultCredentialsErrors.RegistrationKeyTampered('its signature does not fit its content');
  }
  for (const [path, of] of elements)
    if (found.get(path) !== of(claims))
      throw vaultCredentialsErrors.RegistrationKeyTampered(`${path} is not what its token says`);
  return { token, claims };
}

/** The few XML that we write ourselves: elements of two levels, no attributes that matter, no entities but the five. */
function readElements(text: string): Map<string, string> {
  if (text.length > vaultCredentialsBytesMax || !/<RSVaultAsrCreds[\s>]/.test(text) || text.includes('<!'))
    throw vaultCredentialsErrors.RegistrationKeyTampered('it is not a .VaultCredentials file');
  const found = new Map<string, string>();
  const inner = /<RSVaultAsrCreds[^>]*>([\s\S]*)<\/RSVaultAsrCreds>/.exec(text)?.[1];
  if (inner === undefined) throw vaultCredentialsErrors.RegistrationKeyTampered('it is cut off');
  const read = (source: string, prefix: string): void => {
    for (const match of source.matchAll(/<(\w+)>([\s\S]*?)<\/\1>/g)) {
      const path = `${prefix}${match[1]}`;
      if (found.has(path)) throw vaultCredentialsErrors.RegistrationKeyTampered(`it has ${path} twice`);
      if (prefix === '' && match[2]!.includes('<')) read(match[2]!, `${path}/`);
      else found.set(path, unescapeXml(match[2]!));
    }
  };
  read(inner, '');
  return found;
}

const entities: Readonly<Record<string, string>> = {
  '&': 'amp',
  '<': 'lt',
  '>': 'gt',
  '"': 'quot',
  "'": 'apos',
};

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&${entities[character]};`);
}

function unescapeXml(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => {
    return Object.keys(entities).find((character) => entities[character] === name)!;
  });
}
