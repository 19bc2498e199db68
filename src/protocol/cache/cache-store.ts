/**
 * Cache storage: where segments and manifests wait at the vault. Immutable objects: put-if-absent, get, list, delete.
 * Implementations: the vault's own HTTPS endpoint (`https-store.ts`, served by `vault/cache`), a folder
 * (`folder-store.ts`), Azure Blob Storage (`blob-store.ts`); one conformance suite in `test/support/`.
 *
 * What travels is cipher text: plain data never leaves the process server.
 */
import type { Readable } from 'node:stream';

export interface CacheObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface ObjectBody {
  readonly sizeBytes: number;
  /** SHA-256 of the content, 64 hexadecimal digits; the store checks it before it confirms. */
  readonly sha256: string;
  /** A new stream over the content, each time it is called: a retry starts from the beginning. */
  open(): Readable;
}

export interface CacheStore {
  /**
   * Stores an object, durably, unless one is there. Idempotent: the same content again answers `present`.
   * Throws `ObjectConflict` (permanent) when other content is there under that key, `ObjectDigestMismatch` (transient)
   * when what arrived is not what was announced, `CacheStoreFull` or `CacheStoreUnreachable` (transient).
   */
  put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'>;
  /** The content as a stream; `undefined` when there is no such object. */
  get(key: string, signal: AbortSignal): Promise<Readable | undefined>;
  /** Up to `limit` (at most 1000) objects whose key begins with `prefix` and sorts after `after`, sorted by key. */
  list(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<CacheObject[]>;
  /** Silent when there is no such object. */
  delete(key: string, signal: AbortSignal): Promise<void>;
}

/** Keys: 1 to 8 parts of `a-z 0-9 . _ -` joined by `/`, none beginning with a dot, 400 characters in all. */
export const cacheKeyPattern = /^(?=.{1,400}$)[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*){0,7}$/;
