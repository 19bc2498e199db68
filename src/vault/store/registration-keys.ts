/** Registration keys: what is needed to judge one. Secrets are kept as their digests only. */
import type { Database, Row, Session } from '../../platform/mysql.ts';
import { iso } from './rows.ts';

export interface RegistrationKey {
  readonly keyId: string;
  readonly vaultId: string;
  readonly fabricName: string | undefined;
  readonly secretSha256: string;
  readonly issuedAt: string;
  readonly expiresAt: string;
  readonly requestedBy: string;
  readonly supersededAt: string | undefined;
  readonly revokedAt: string | undefined;
  readonly usedAt: string | undefined;
  readonly usedByKeySha256: string | undefined;
  readonly siteId: string | undefined;
}

/** Adds a key; earlier ones of the vault that were not used are superseded by it. */
export async function add(
  database: Database,
  key: Pick<
    RegistrationKey,
    'keyId' | 'vaultId' | 'fabricName' | 'secretSha256' | 'issuedAt' | 'expiresAt' | 'requestedBy'
  >,
): Promise<void> {
  await database.transaction(async (session) => {
    await session.change(
      'UPDATE registration_keys SET superseded_at = ? WHERE vault_id = ? AND superseded_at IS NULL',
      [new Date(key.issuedAt), key.vaultId],
    );
    await session.change(
      `INSERT INTO registration_keys (key_id, vault_id, fabric_name, secret_sha256, issued_at, expires_at, requested_by)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [
        key.keyId,
        key.vaultId,
        key.fabricName ?? null,
        key.secretSha256,
        new Date(key.issuedAt),
        new Date(key.expiresAt),
        key.requestedBy,
      ],
    );
  });
}

/** Locks the row: of two registrations with one key the second sees what the first has done. */
export async function take(session: Session, keyId: string): Promise<RegistrationKey | undefined> {
  const rows = await session.rows('SELECT * FROM registration_keys WHERE key_id = ? FOR UPDATE', [keyId]);
  return rows.map(toKey)[0];
}

export async function markUsed(
  session: Session,
  use: {
    readonly keyId: string;
    readonly at: string;
    readonly keySha256: string;
    readonly siteId: string;
  },
): Promise<void> {
  await session.change(
    'UPDATE registration_keys SET used_at = ?, used_by_key_sha256 = ?, site_id = ? WHERE key_id = ?',
    [new Date(use.at), use.keySha256, use.siteId, use.keyId],
  );
}

/** False: there is no such key of this vault. */
export async function revoke(session: Session, vaultId: string, keyId: string, at: string): Promise<boolean> {
  const rows = await session.rows('SELECT 1 FROM registration_keys WHERE key_id = ? AND vault_id = ?', [
    keyId,
    vaultId,
  ]);
  if (rows.length === 0) return false;
  await session.change('UPDATE registration_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE key_id = ?', [
    new Date(at),
    keyId,
  ]);
  return true;
}

/** Newest first. */
export async function list(session: Session, vaultId: string, limit: number): Promise<RegistrationKey[]> {
  const rows = await session.rows(
    'SELECT * FROM registration_keys WHERE vault_id = ? ORDER BY issued_at DESC, key_id LIMIT ?',
    [vaultId, limit],
  );
  return rows.map(toKey);
}

const optional = (value: unknown) => (value === null ? undefined : String(value));
const optionalTime = (value: unknown) => (value === null ? undefined : iso(value));

function toKey(row: Row): RegistrationKey {
  return {
    keyId: String(row.key_id),
    vaultId: String(row.vault_id),
    fabricName: optional(row.fabric_name),
    secretSha256: String(row.secret_sha256),
    issuedAt: iso(row.issued_at),
    expiresAt: iso(row.expires_at),
    requestedBy: String(row.requested_by),
    supersededAt: optionalTime(row.superseded_at),
    revokedAt: optionalTime(row.revoked_at),
    usedAt: optionalTime(row.used_at),
    usedByKeySha256: optional(row.used_by_key_sha256),
    siteId: optional(row.site_id),
  };
}
