/** The keys that sign the vault's tokens, one row a generation; private halves only sealed. */
import { z } from 'zod';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { iso, json } from './rows.ts';

export const SigningKeyRecord = z.strictObject({
  /** From 1; two vaults that make a key at once make the same generation, and one of them loses. */
  generation: z.number().int().positive(),
  keyId: z.string().min(1).max(100),
  publicKey: z.record(z.string(), z.string()),
  sealedPrivateKey: z.instanceof(Uint8Array),
  createdAt: z.iso.datetime(),
  /** It is published before it signs, for those who keep what they fetched. */
  signsFrom: z.iso.datetime(),
});
export type SigningKeyRecord = z.infer<typeof SigningKeyRecord>;

export interface SigningKeyRecords {
  /** False: this generation is there. */
  add(key: SigningKeyRecord): Promise<boolean>;
  /** Oldest first; a handful. */
  list(): Promise<SigningKeyRecord[]>;
  remove(generation: number): Promise<void>;
}

const columns = 'generation, key_id, public_key, sealed_private_key, created_at, signs_from';

export function signingKeyRecords(session: Session): SigningKeyRecords {
  return {
    add: async (key) =>
      (await session.change(`INSERT IGNORE INTO signing_keys (${columns}) VALUES (?, ?, ?, ?, ?, ?)`, [
        key.generation,
        key.keyId,
        JSON.stringify(key.publicKey),
        Buffer.from(key.sealedPrivateKey),
        new Date(key.createdAt),
        new Date(key.signsFrom),
      ])) > 0,
    list: async () =>
      (await session.rows(`SELECT ${columns} FROM signing_keys ORDER BY generation`)).map(keyOf),
    remove: async (generation) => {
      await session.change('DELETE FROM signing_keys WHERE generation = ?', [generation]);
    },
  };
}

function keyOf(row: Row): SigningKeyRecord {
  const record = {
    generation: Number(row.generation),
    keyId: row.key_id,
    publicKey: json(row.public_key),
    sealedPrivateKey: row.sealed_private_key,
    createdAt: iso(row.created_at),
    signsFrom: iso(row.signs_from),
  };
  return parse(SigningKeyRecord, record, 'signing_keys');
}
