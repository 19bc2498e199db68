/**
 * The archive of an item's manifests: what was applied, byte for byte, so that `leeward protected-item verify` can walk the chain again
 * long after cache storage has forgotten it.
 *
 *     <folder>/<item>/<chain>/<first sequence>.manifests    1000 manifests each, one after the other
 *
 * A manifest ends at its second line feed, so a file takes itself apart. The position in the vault's store says where
 * the last recorded manifest ends: what a crash left behind that is overwritten.
 *
 * It keeps what the kept points need: from the manifest of the oldest point on (`trim`, by whole files). An idle item's
 * manifests are 17,000 a day, 17 MB; with the default policy that ends at 15 days, some 250 MB.
 */
import { join } from 'node:path';
import type { ProtectedItemId } from '../../model/ids.ts';
import { type Files, readWhole } from '../../platform/files.ts';
import { archiveManifestsPerFile } from '../limits.ts';

const pad = (count: number) => String(count).padStart(16, '0');

export class Archive {
  readonly #files: Files;
  readonly #folder: string;

  constructor(parts: { readonly files: Files; readonly folder: string }) {
    this.#files = parts.files;
    this.#folder = parts.folder;
  }

  /** Durable when it resolves; answers where the manifest ends in its file. `endBytes`: of the one before it. */
  async append(
    itemId: ProtectedItemId,
    chain: number,
    sequence: number,
    object: Uint8Array,
    endBytes: number,
  ): Promise<number> {
    const first = sequence - ((sequence - 1) % archiveManifestsPerFile);
    const folder = join(this.#folder, itemId, pad(chain));
    const path = join(folder, `${pad(first)}.manifests`);
    const begin = first === sequence ? 0 : endBytes;
    // Not whether it is there: a try that was killed may have made it, and its name may not be durable yet. Until the names
    // are, no position says that anything is in this file, so that every try begins at 0.
    const isNew = begin === 0 || (await this.#files.sizeBytes(path)) === undefined;
    if (isNew) await this.#files.makeFolder(folder);
    {
      await using file = await this.#files.open(path, 'create');
      await file.truncate(begin);
      await file.write(object, begin);
      await file.sync();
    }
    if (isNew) {
      await this.#files.syncDirectory(folder);
      await this.#files.syncDirectory(join(this.#folder, itemId));
      await this.#files.syncDirectory(this.#folder);
    }
    return begin + object.byteLength;
  }

  async chains(itemId: ProtectedItemId): Promise<number[]> {
    return (await this.#files.list(join(this.#folder, itemId))).map(Number).sort((a, b) => a - b);
  }

  /** The manifests of a chain in order, as they were stored. */
  async *manifests(
    itemId: ProtectedItemId,
    chain: number,
  ): AsyncGenerator<{ sequence: number; object: Buffer; file: string }> {
    const folder = join(this.#folder, itemId, pad(chain));
    for (const name of await this.#files.list(folder)) {
      // 1000 manifests of at most 1 MiB; in practice 1 MiB together.
      const content = await readWhole(this.#files, join(folder, name), 1 << 30);
      let sequence = Number.parseInt(name, 10);
      for (let at = 0; content !== undefined && at < content.byteLength; sequence++) {
        const middle = content.indexOf(0x0a, at);
        const end = middle < 0 ? -1 : content.indexOf(0x0a, middle + 1);
        const next = end < 0 ? content.byteLength : end + 1;
        yield { sequence, object: content.subarray(at, next), file: join(folder, name) };
        at = next;
      }
    }
  }

  /** Removes the files that end before manifest `sequence` of `chain`, the oldest that is needed. */
  async trim(
    itemId: ProtectedItemId,
    needed: { readonly chain: number; readonly sequence: number },
  ): Promise<number> {
    let removed = 0;
    for (const chain of await this.chains(itemId)) {
      const folder = join(this.#folder, itemId, pad(chain));
      if (chain < needed.chain) {
        await this.#files.removeTree(folder);
        removed++;
      }
      if (chain !== needed.chain) continue;
      for (const name of await this.#files.list(folder))
        if (Number.parseInt(name, 10) + archiveManifestsPerFile <= needed.sequence) {
          await this.#files.remove(join(folder, name));
          removed++;
        }
    }
    return removed;
  }

  async drop(itemId: ProtectedItemId): Promise<void> {
    await this.#files.removeTree(join(this.#folder, itemId));
  }
}
