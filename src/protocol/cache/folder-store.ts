/**
 * Cache storage in a folder: what stands behind the vault's HTTPS endpoint, and what tests and the simulation use
 * directly.
 *
 * An object arrives in `.incoming/`, is hashed on its way and made durable there, and only then renamed to its place:
 * an object that can be seen is whole, verified and durable. Drafts that a crash left are removed by `prepare`.
 *
 * The file of key `a/b/c` is `a/b/c=`. No key has `=`, so a file is never taken for a folder, and no key begins with a
 * dot, so `.incoming` is never taken for a key.
 *
 * One process owns the folder. Deleting is not made durable: an object that comes back after a crash is deleted again
 * by whoever wanted it gone.
 */
import { createHash } from 'node:crypto';
import { addAbortSignal, Readable } from 'node:stream';
import { hasCode } from '../../platform/errors.ts';
import type { Files, OpenFile } from '../../platform/files.ts';
import { giveBack } from '../../platform/memory.ts';
import type { Random } from '../../platform/random.ts';
import { type CacheObject, type CacheStore, cacheKeyPattern, type ObjectBody } from './cache-store.ts';
import { cacheErrors } from './errors.ts';

/** One read of a stored object; four of them keep a disk busy. */
const readBytes = 256 << 10;
/** One write of an object that arrives; 200 at once are 200 MiB. */
const writeBytes = 1 << 20;
/** Objects a listing may ask for at once. */
const listLimitMax = 1000;

export class FolderStore implements CacheStore {
  readonly #files: Files;
  readonly #random: Random;
  readonly #folder: string;
  /** Folders that exist durably; bounded by the number of items and chains, forgotten when it grows large. */
  readonly #knownFolders = new Set<string>();
  /** Puts under way by key: the second of two at once sees the first one's object. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(parts: { readonly files: Files; readonly random: Random; readonly folder: string }) {
    this.#files = parts.files;
    this.#random = parts.random;
    this.#folder = parts.folder;
  }

  /** Makes the folder and clears what a crash left half arrived, also on a disk that is full. Call before anything else. */
  async prepare(): Promise<void> {
    await this.#files.makeFolder(this.#folder);
    await this.#files.removeTree(this.#incoming);
    try {
      await this.#files.makeFolder(this.#incoming);
      await this.#files.syncDirectory(this.#folder);
    } catch (error) {
      // What is there can be read and deleted, which makes room; the first object that fits makes the folder.
      if (!isFull(error)) throw error;
    }
  }

  async put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'> {
    checkKey(key);
    for (;;) {
      const other = this.#underWay.get(key);
      if (!other) break;
      await other;
    }
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#underWay.set(key, promise);
    try {
      return await this.#put(key, body, signal);
    } catch (error) {
      if (isFull(error)) throw cacheErrors.CacheStoreFull(this.#folder, error);
      throw error;
    } finally {
      this.#underWay.delete(key);
      resolve();
    }
  }

  async #put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'> {
    const path = this.#path(key);
    const parent = path.slice(0, path.lastIndexOf('/'));
    const present = await this.#files.sizeBytes(path);
    if (present !== undefined) {
      if (present !== body.sizeBytes || (await this.#digest(path, signal)) !== body.sha256)
        throw cacheErrors.ObjectConflict(key);
      // Whoever put it may have died between the rename and making it durable; the caller will trim on our word.
      await this.#makeFolderDurably(parent);
      await this.#files.syncDirectory(parent);
      return 'present';
    }
    const draft = `${this.#incoming}/${this.#random.uuid()}`;
    try {
      {
        await using file = await this.#openDraft(draft);
        await this.#receive(key, body, file, signal);
        await file.sync();
      }
      await this.#makeFolderDurably(parent);
      await this.#files.rename(draft, path);
    } catch (error) {
      await this.#files.remove(draft);
      throw error;
    }
    await this.#files.syncDirectory(parent);
    return 'created';
  }

  async #openDraft(draft: string): Promise<OpenFile> {
    try {
      return await this.#files.open(draft, 'exclusive');
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      await this.#files.makeFolder(this.#incoming);
      return await this.#files.open(draft, 'exclusive');
    }
  }

  async #receive(key: string, body: ObjectBody, file: OpenFile, signal: AbortSignal): Promise<void> {
    const hash = createHash('sha256');
    // TLS gives 16 KiB at a time: a write for each would cost more than everything else here.
    const batch = Buffer.allocUnsafeSlow(Math.max(1, Math.min(writeBytes, body.sizeBytes)));
    let heldBytes = 0;
    let positionBytes = 0;
    const stream = addAbortSignal(signal, body.open());
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (positionBytes + chunk.byteLength > body.sizeBytes) throw cacheErrors.ObjectDigestMismatch(key);
        for (let done = 0; done < chunk.byteLength; ) {
          const count = Math.min(chunk.byteLength - done, batch.byteLength - heldBytes);
          batch.set(chunk.subarray(done, done + count), heldBytes);
          done += count;
          heldBytes += count;
          positionBytes += count;
          if (heldBytes < batch.byteLength && positionBytes < body.sizeBytes) continue;
          hash.update(batch.subarray(0, heldBytes));
          await file.write(batch.subarray(0, heldBytes), positionBytes - heldBytes);
          heldBytes = 0;
        }
      }
    } finally {
      stream.destroy();
      giveBack(batch);
    }
    if (positionBytes !== body.sizeBytes || hash.digest('hex') !== body.sha256)
      throw cacheErrors.ObjectDigestMismatch(key);
  }

  async get(key: string, signal: AbortSignal): Promise<Readable | undefined> {
    checkKey(key);
    signal.throwIfAborted();
    let file: OpenFile;
    try {
      file = await this.#files.open(this.#path(key), 'read');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
    return addAbortSignal(signal, streamOf(file));
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<CacheObject[]> {
    const limit = Math.min(options.limit, listLimitMax);
    const found: CacheObject[] = [];
    // From the prefix's own folder on: the folder above it has one for each of a thousand machines.
    const parent = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // No key has such a part, and the file system would read it as another place.
    if (
      parent
        .split('/')
        .slice(0, -1)
        .some((part) => part === '' || part.startsWith('.'))
    )
      return found;
    for await (const key of this.#keys(parent, prefix, options.after ?? '', signal)) {
      if (found.length >= limit) break;
      const sizeBytes = await this.#files.sizeBytes(this.#path(key));
      if (sizeBytes !== undefined) found.push({ key, sizeBytes });
    }
    return found;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    checkKey(key);
    signal.throwIfAborted();
    await this.#files.remove(this.#path(key));
  }

  /** Keys below `parent` (empty or ending in `/`) in key order, whole subtrees left out where none can match. */
  async *#keys(parent: string, prefix: string, after: string, signal: AbortSignal): AsyncGenerator<string> {
    signal.throwIfAborted();
    const entries = (await this.#files.list(`${this.#folder}/${parent}`.replace(/\/$/, '')))
      .filter((name) => !name.startsWith('.'))
      // A folder sorts as its keys do, with the slash: `a-b` comes before `a/c`.
      .map((name) => (name.endsWith('=') ? parent + name.slice(0, -1) : `${parent}${name}/`))
      .sort((a, b) => (a < b ? -1 : 1));
    for (const entry of entries) {
      if (entry.endsWith('/')) {
        if (!entry.startsWith(prefix) && !prefix.startsWith(entry)) continue;
        if (entry < after && !after.startsWith(entry)) continue;
        yield* this.#keys(entry, prefix, after, signal);
      } else if (entry.startsWith(prefix) && entry > after) yield entry;
    }
  }

  async #digest(path: string, signal: AbortSignal): Promise<string> {
    const hash = createHash('sha256');
    await using file = await this.#files.open(path, 'read');
    const chunk = Buffer.allocUnsafe(readBytes);
    for (let positionBytes = 0; ; ) {
      signal.throwIfAborted();
      const count = await file.read(chunk, positionBytes);
      if (count === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, count));
      positionBytes += count;
    }
  }

  async #makeFolderDurably(folder: string): Promise<void> {
    if (this.#knownFolders.has(folder)) return;
    await this.#files.makeFolder(folder);
    for (let at = folder; at.length > this.#folder.length; ) {
      at = at.slice(0, at.lastIndexOf('/'));
      await this.#files.syncDirectory(at);
    }
    if (this.#knownFolders.size >= 10_000) this.#knownFolders.clear();
    this.#knownFolders.add(folder);
  }

  get #incoming(): string {
    return `${this.#folder}/.incoming`;
  }

  #path(key: string): string {
    return `${this.#folder}/${key}=`;
  }
}

const isFull = (error: unknown): boolean => hasCode(error, 'ENOSPC', 'EDQUOT');

function checkKey(key: string): void {
  if (!cacheKeyPattern.test(key)) throw cacheErrors.InvalidObjectKey(key);
}

/** A stream over a file from its beginning, which closes the file at the end or when it is destroyed. */
export function streamOf(file: OpenFile): Readable {
  let positionBytes = 0;
  return new Readable({
    highWaterMark: readBytes,
    read() {
      const chunk = Buffer.allocUnsafe(readBytes);
      file.read(chunk, positionBytes).then(
        (count) => {
          positionBytes += count;
          this.push(count === 0 ? null : chunk.subarray(0, count));
        },
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, done) {
      file.close().then(
        () => done(error),
        (closing: Error) => done(error ?? closing),
      );
    },
  });
}
