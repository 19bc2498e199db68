/**
 * Who may ask the vault something: service principals, which sign in here with secrets of their own, and people or programs
 * of other issuers, who have a row from their first call so that they can be listed and shut out. Secrets are hashes here.
 */
import { z } from 'zod';
import type { Database, Row } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { iso } from './rows.ts';

export const PrincipalRecord = z.strictObject({
  objectId: z.guid(),
  kind: z.enum(['ServicePrincipal', 'ForeignPrincipal']),
  /** Of a service principal. */
  applicationId: z.guid().optional(),
  /** Of a foreign one. */
  issuer: z.string().max(500).optional(),
  subject: z.string().max(500).optional(),
  displayName: z.string().min(1).max(200),
  enabled: z.boolean(),
  createdAt: z.iso.datetime(),
});
export type PrincipalRecord = z.infer<typeof PrincipalRecord>;

export const SecretRecord = z.strictObject({
  secretId: z.guid(),
  displayName: z.string().max(200),
  /** The first characters, for telling two apart. */
  hint: z.string().length(3),
  hash: z.string().max(300),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
});
export type SecretRecord = z.infer<typeof SecretRecord>;

export interface Principals {
  /** Whether it was new. */
  add(principal: PrincipalRecord): Promise<boolean>;
  byObjectId(objectId: string): Promise<PrincipalRecord | undefined>;
  byApplicationId(applicationId: string): Promise<PrincipalRecord | undefined>;
  /** By object id. */
  list(page: { readonly after?: string | undefined; readonly limit: number }): Promise<PrincipalRecord[]>;
  /** Whether it was there. */
  setEnabled(objectId: string, enabled: boolean): Promise<boolean>;
  /** With its secrets and role assignments. */
  remove(objectId: string): Promise<boolean>;
  /** Oldest first. */
  secrets(objectId: string): Promise<SecretRecord[]>;
  /** False: it has `most` already; those that have expired by `now` make room. */
  addSecret(objectId: string, secret: SecretRecord, most: number, now: string): Promise<boolean>;
  removeSecret(objectId: string, secretId: string): Promise<boolean>;
}

const columns =
  'object_id, kind, application_id, issuer, subject, display_name, enabled, created_at' as const;

export function principals(database: Database): Principals {
  return {
    add: async (principal) =>
      (await database.change(`INSERT IGNORE INTO principals (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, [
        principal.objectId,
        principal.kind,
        principal.applicationId ?? null,
        principal.issuer ?? null,
        principal.subject ?? null,
        principal.displayName,
        principal.enabled,
        new Date(principal.createdAt),
      ])) > 0,
    byObjectId: async (objectId) => {
      const [row] = await database.rows(`SELECT ${columns} FROM principals WHERE object_id = ?`, [
        objectId.toLowerCase(),
      ]);
      return row && principalOf(row);
    },
    byApplicationId: async (applicationId) => {
      const [row] = await database.rows(`SELECT ${columns} FROM principals WHERE application_id = ?`, [
        applicationId.toLowerCase(),
      ]);
      return row && principalOf(row);
    },
    list: async ({ after, limit }) =>
      (
        await database.rows(
          `SELECT ${columns} FROM principals WHERE object_id > ? ORDER BY object_id LIMIT ?`,
          [after ?? '', limit],
        )
      ).map(principalOf),
    setEnabled: async (objectId, enabled) =>
      database.transaction(async (session) => {
        const rows = await session.rows('SELECT 1 FROM principals WHERE object_id = ? FOR UPDATE', [
          objectId,
        ]);
        await session.change('UPDATE principals SET enabled = ? WHERE object_id = ?', [enabled, objectId]);
        return rows.length > 0;
      }),
    remove: (objectId) =>
      database.transaction(async (session) => {
        await session.change('DELETE FROM principal_secrets WHERE object_id = ?', [objectId]);
        await session.change('DELETE FROM role_assignments WHERE principal_id = ?', [objectId]);
        return (await session.change('DELETE FROM principals WHERE object_id = ?', [objectId])) > 0;
      }),
    secrets: async (objectId) =>
      (
        await database.rows(
          `SELECT secret_id, display_name, hint, hash, created_at, expires_at FROM principal_secrets
           WHERE object_id = ? ORDER BY created_at, secret_id`,
          [objectId],
        )
      ).map(secretOf),
    addSecret: (objectId, secret, most, now) =>
      database.transaction(async (session) => {
        // The principal's row is the lock: two rotations at once may not leave three secrets.
        const [owner] = await session.rows('SELECT 1 FROM principals WHERE object_id = ? FOR UPDATE', [
          objectId,
        ]);
        if (!owner) return false;
        await session.change('DELETE FROM principal_secrets WHERE object_id = ? AND expires_at <= ?', [
          objectId,
          new Date(now),
        ]);
        const [count] = await session.rows(
          'SELECT COUNT(*) AS n FROM principal_secrets WHERE object_id = ?',
          [objectId],
        );
        if (Number(count!.n) >= most) return false;
        await session.change(
          `INSERT INTO principal_secrets (secret_id, object_id, display_name, hint, hash, created_at, expires_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          [
            secret.secretId,
            objectId,
            secret.displayName,
            secret.hint,
            secret.hash,
            new Date(secret.createdAt),
            new Date(secret.expiresAt),
          ],
        );
        return true;
      }),
    removeSecret: async (objectId, secretId) =>
      (await database.change('DELETE FROM principal_secrets WHERE object_id = ? AND secret_id = ?', [
        objectId,
        secretId,
      ])) > 0,
  };
}

function principalOf(row: Row): PrincipalRecord {
  const optional = (value: unknown) => (value === null ? undefined : String(value));
  const record = {
    objectId: row.object_id,
    kind: row.kind,
    applicationId: optional(row.application_id),
    issuer: optional(row.issuer),
    subject: optional(row.subject),
    displayName: row.display_name,
    enabled: Number(row.enabled) === 1,
    createdAt: iso(row.created_at),
  };
  return parse(PrincipalRecord, record, 'principals');
}

function secretOf(row: Row): SecretRecord {
  return parse(
    SecretRecord,
    {
      secretId: row.secret_id,
      displayName: row.display_name,
      hint: row.hint,
      hash: row.hash,
      createdAt: iso(row.created_at),
      expiresAt: iso(row.expires_at),
    },
    'principal_secrets',
  );
}
