/**
 * Replica disks as raw files on a file system with reflinks (XFS, btrfs). The log processor writes heads; a recovery point
 * is a clone of the heads, so it costs no copy and boots as it is; thinning is unlink.
 *
 *     <folder>/<item>/heads/<disk>.raw, .sums     what replication writes to
 *     <folder>/<item>/points/<point>/<disk>.…     clones, never written again
 *     <folder>/<item>/loans/<loan>/<disk>.raw     writable clones of a point, for a failover
 *
 * Promises: a folder under its final name is whole and durable. Points and loans are made in `<id>.draft`, synced, renamed,
 * and the folder above synced; they go by a rename to `<id>.gone` first. Drafts and gone folders are swept at `prepare`.
 * Specification: `docs/formats/replica.md`.
 */
import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { blockBytes } from '../../disk/disk.ts';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import { hasCode } from '../../platform/errors.ts';
import type { Files, OpenFile, WriteRange } from '../../platform/files.ts';
import { type DiskRange, type OpenJob, openFrame } from '../../protocol/cache/segment.ts';
import { errors } from '../errors.ts';
import { punchBytesMin } from '../limits.ts';
import { type Digester, digestChunks, digestStretchBytes } from './chunk-digests.ts';
import type { Placer } from './placer.ts';
import type { ReadableDisk, ReplicaDisk, ReplicaStore } from './replica-store.ts';
import { SumFile, sumBytes, sumsOf } from './sums.ts';

export interface ReflinkStoreOptions {
  readonly folder: string;
  readonly files: Files;
  /** Gives the range's space back; undefined where there is no such thing (simulation): zeroes are written. */
  readonly punch?: (path: string, offsetBytes: number, lengthBytes: number) => Promise<void>;
  /** How much a file really occupies; undefined: its size. */
  readonly allocatedBytes?: (path: string) => Promise<number>;
  /** Reads and digests heads in other threads; undefined: in this one, through `files`. */
  readonly digester?: Digester;
  /** Opens frames and writes them in other threads; undefined: in this one, through `files`. */
  readonly placer?: Placer;
  /** For the message when the folder cannot clone. */
  readonly fileSystemName?: (folder: string) => Promise<string>;
}

const cannotClone = ['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY'];
const zeroes = Buffer.alloc(1 << 20);

export class ReflinkStore implements ReplicaStore {
  readonly #folder: string;
  readonly #files: Files;
  readonly #options: ReflinkStoreOptions;

  constructor(options: ReflinkStoreOptions) {
    this.#folder = options.folder;
    this.#files = options.files;
    this.#options = options;
  }

  async prepare(): Promise<void> {
    const files = this.#files;
    await files.makeFolder(this.#folder);
    // First, for it makes room.
    for (const item of await files.list(this.#folder))
      for (const kind of ['points', 'loans'])
        for (const name of await files.list(join(this.#folder, item, kind)))
          if (name.endsWith('.draft') || name.endsWith('.gone'))
            await files.removeTree(join(this.#folder, item, kind, name));
    const from = join(this.#folder, '.probe');
    const to = join(this.#folder, '.probe-clone');
    await files.remove(from);
    await files.remove(to);
    try {
      {
        await using probe = await files.open(from, 'exclusive');
        await probe.write(zeroes.subarray(0, blockBytes), 0);
      }
      await files.clone(from, to);
    } catch (cause) {
      if (hasCode(cause, ...cannotClone)) {
        const name = (await this.#options.fileSystemName?.(this.#folder)) ?? 'a file system';
        throw errors.ReplicaFolderCannotClone(this.#folder, name, cause);
      }
      throw this.#mapped(cause);
    } finally {
      await files.remove(from);
      await files.remove(to);
    }
  }

  async openHead(itemId: ProtectedItemId, diskId: ProtectedDiskId, sizeBytes: number): Promise<ReplicaDisk> {
    try {
      const heads = join(this.#folder, itemId, 'heads');
      const path = join(heads, `${diskId}.raw`);
      await this.#files.makeFolder(heads);
      const data = await this.#files.open(path, 'create');
      const sumFile = await this.#files.open(join(heads, `${diskId}.sums`), 'create');
      // Not only when it is new: who made it may have died before this, and a name that a power loss takes away would
      // come back as an empty disk.
      await this.#files.syncDirectory(heads);
      await this.#files.syncDirectory(join(this.#folder, itemId));
      await this.#files.syncDirectory(this.#folder);
      const before = await data.sizeBytes();
      const head = new Head(diskId, path, sizeBytes, data, new SumFile(sumFile), this.#options, (error) =>
        this.#mapped(error),
      );
      if (before !== sizeBytes) {
        await data.truncate(sizeBytes);
        await sumFile.truncate(Math.ceil(sizeBytes / blockBytes) * sumBytes);
        // A cut or a growth may change what the last block has.
        const edge = Math.floor(Math.min(before, sizeBytes) / blockBytes) * blockBytes;
        if (edge < sizeBytes && before > 0) await head.resum(edge, Math.min(blockBytes, sizeBytes - edge));
        await head.flush();
      }
      return head;
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  async clearHead(itemId: ProtectedItemId, diskId: ProtectedDiskId): Promise<void> {
    const heads = join(this.#folder, itemId, 'heads');
    await this.#files.remove(join(heads, `${diskId}.raw`));
    await this.#files.remove(join(heads, `${diskId}.sums`));
    if ((await this.#files.list(heads)).length > 0) await this.#files.syncDirectory(heads);
  }

  async cutPoint(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskIds: readonly ProtectedDiskId[],
  ): Promise<void> {
    const heads = join(this.#folder, itemId, 'heads');
    await this.#make(itemId, 'points', pointId, async (draft) => {
      for (const diskId of diskIds)
        for (const name of [`${diskId}.raw`, `${diskId}.sums`])
          await this.#cloneDurably(join(heads, name), join(draft, name));
    });
  }

  async listPoints(itemId: ProtectedItemId): Promise<RecoveryPointId[]> {
    const names = await this.#files.list(join(this.#folder, itemId, 'points'));
    return names.filter((name) => !name.includes('.')) as RecoveryPointId[];
  }

  async openPoint(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskId: ProtectedDiskId,
  ): Promise<ReadableDisk> {
    const path = join(this.#folder, itemId, 'points', pointId, `${diskId}.raw`);
    const file = await this.#openOf(itemId, pointId, diskId, path);
    return new Reader(file, await file.sizeBytes());
  }

  async pointDisks(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<ProtectedDiskId[]> {
    const names = await this.#files.list(join(this.#folder, itemId, 'points', pointId));
    if (names.length === 0) throw errors.RecoveryPointGone(pointId);
    return names
      .filter((name) => name.endsWith('.raw'))
      .map((name) => name.slice(0, -'.raw'.length)) as ProtectedDiskId[];
  }

  async openPointSums(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskId: ProtectedDiskId,
  ): Promise<ReadableDisk> {
    const path = join(this.#folder, itemId, 'points', pointId, `${diskId}.sums`);
    const file = await this.#openOf(itemId, pointId, diskId, path);
    return new Reader(file, await file.sizeBytes());
  }

  async lend(itemId: ProtectedItemId, pointId: RecoveryPointId, loanId: string) {
    if (!/^[A-Za-z0-9_-]{1,80}$/.test(loanId))
      throw errors.RequestInvalid(`"${loanId}" is no name for a loan`);
    const diskIds = await this.pointDisks(itemId, pointId);
    const point = join(this.#folder, itemId, 'points', pointId);
    await this.#make(itemId, 'loans', loanId, async (draft) => {
      for (const diskId of diskIds)
        await this.#cloneDurably(join(point, `${diskId}.raw`), join(draft, `${diskId}.raw`));
    });
    const loan = join(this.#folder, itemId, 'loans', loanId);
    return diskIds.map((diskId) => ({ diskId, path: join(loan, `${diskId}.raw`) }));
  }

  async listLoans(itemId: ProtectedItemId): Promise<string[]> {
    const names = await this.#files.list(join(this.#folder, itemId, 'loans'));
    return names.filter((name) => !name.includes('.'));
  }

  giveBack(itemId: ProtectedItemId, loanId: string): Promise<void> {
    return this.#discard(itemId, 'loans', loanId);
  }

  dropPoint(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<void> {
    return this.#discard(itemId, 'points', pointId);
  }

  async dropItem(itemId: ProtectedItemId): Promise<void> {
    await this.#files.removeTree(join(this.#folder, itemId));
    await this.#files.syncDirectory(this.#folder);
  }

  async usage(itemId: ProtectedItemId): Promise<{ usedBytes: number; freeBytes: number }> {
    // Blocks shared between heads, points and loans count once: the heads'. What only points hold is not known without
    // walking every extent of every file, so this is a lower bound.
    let usedBytes = 0;
    const heads = join(this.#folder, itemId, 'heads');
    for (const name of await this.#files.list(heads)) {
      const path = join(heads, name);
      usedBytes += (await this.#options.allocatedBytes?.(path)) ?? (await this.#files.sizeBytes(path)) ?? 0;
    }
    return { usedBytes, freeBytes: await this.#files.freeBytes(this.#folder) };
  }

  async #make(
    itemId: ProtectedItemId,
    kind: 'points' | 'loans',
    id: string,
    fill: (draft: string) => Promise<void>,
  ): Promise<void> {
    const parent = join(this.#folder, itemId, kind);
    const final = join(parent, id);
    if ((await this.#files.list(final)).length > 0) {
      // Who made it may have died before its name was durable.
      await this.#files.syncDirectory(parent);
      await this.#files.syncDirectory(join(this.#folder, itemId));
      return;
    }
    const draft = `${final}.draft`;
    try {
      await this.#files.removeTree(draft);
      await this.#files.makeFolder(draft);
      await fill(draft);
      await this.#files.syncDirectory(draft);
      await this.#files.rename(draft, final);
      await this.#files.syncDirectory(parent);
      await this.#files.syncDirectory(join(this.#folder, itemId));
    } catch (error) {
      // A full disk must get its space back; the draft is worth nothing.
      await this.#files.removeTree(draft).catch(() => {});
      throw this.#mapped(error);
    }
  }

  async #discard(itemId: ProtectedItemId, kind: 'points' | 'loans', id: string): Promise<void> {
    const parent = join(this.#folder, itemId, kind);
    const final = join(parent, id);
    if ((await this.#files.list(final)).length === 0) return;
    const gone = `${final}.gone`;
    await this.#files.removeTree(gone);
    await this.#files.rename(final, gone);
    await this.#files.syncDirectory(parent);
    await this.#files.removeTree(gone);
  }

  async #cloneDurably(from: string, to: string): Promise<void> {
    await this.#files.clone(from, to);
    await using file = await this.#files.open(to, 'write');
    await file.sync();
  }

  async #openOf(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskId: ProtectedDiskId,
    path: string,
  ): Promise<OpenFile> {
    try {
      return await this.#files.open(path, 'read');
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      const point = join(this.#folder, itemId, 'points', pointId);
      if ((await this.#files.list(point)).length === 0) throw errors.RecoveryPointGone(pointId);
      throw errors.PointDiskMissing(pointId, diskId);
    }
  }

  #mapped(error: unknown): unknown {
    return hasCode(error, 'ENOSPC', 'EDQUOT') ? errors.ReplicaStoreFull(this.#folder, error) : error;
  }
}

class Reader implements ReadableDisk {
  readonly #file: OpenFile;
  readonly sizeBytes: number;
  constructor(file: OpenFile, sizeBytes: number) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
  }
  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    const count = await this.#file.read(target, offsetBytes);
    if (count !== target.byteLength) throw new RangeError(`read beyond the disk's end at ${offsetBytes}`);
  }
  close(): Promise<void> {
    return this.#file.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class Head implements ReplicaDisk {
  readonly sizeBytes: number;
  readonly #diskId: ProtectedDiskId;
  readonly #path: string;
  readonly #data: OpenFile;
  readonly #sums: SumFile;
  readonly #options: ReflinkStoreOptions;
  readonly #mapped: (error: unknown) => unknown;

  constructor(
    diskId: ProtectedDiskId,
    path: string,
    sizeBytes: number,
    data: OpenFile,
    sums: SumFile,
    options: ReflinkStoreOptions,
    mapped: (error: unknown) => unknown,
  ) {
    this.#diskId = diskId;
    this.#path = path;
    this.sizeBytes = sizeBytes;
    this.#data = data;
    this.#sums = sums;
    this.#options = options;
    this.#mapped = mapped;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    this.#inside(offsetBytes, target.byteLength);
    const count = await this.#data.read(target, offsetBytes);
    target.fill(0, count);
  }

  async write(source: Uint8Array, offsetBytes: number): Promise<void> {
    this.#inside(offsetBytes, source.byteLength);
    if (source.byteLength === 0) return;
    try {
      await Promise.all([
        this.#data.write(source, offsetBytes),
        this.#sums.set(offsetBytes / blockBytes, sumsOf(source)),
      ]);
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  async writeRanges(source: Uint8Array, ranges: readonly DiskRange[]): Promise<void> {
    const pieces = this.#pieces(ranges);
    // Before the source is given away. A piece ends inside a block only at the disk's end, and is then the last one.
    const sums = sumsOf(source);
    try {
      await Promise.all([this.#data.writeRanges(source, pieces), this.#setSums(pieces, sums)]);
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  get frameConcurrency(): number {
    return this.#options.placer?.concurrency ?? 1;
  }

  async writeFrame(job: OpenJob, ranges: readonly DiskRange[]): Promise<void> {
    const { placer } = this.#options;
    const { descriptor } = this.#data;
    if (placer === undefined || descriptor === undefined)
      return await this.writeRanges(openFrame(job), ranges);
    const pieces = this.#pieces(ranges);
    try {
      await this.#setSums(pieces, await placer.place(job, descriptor, pieces));
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  /** Where the ranges are in the file; neighbours are one. */
  #pieces(ranges: readonly DiskRange[]): WriteRange[] {
    const pieces: { positionBytes: number; lengthBytes: number }[] = [];
    for (const { offsetBytes, lengthBytes } of ranges) {
      this.#inside(offsetBytes, lengthBytes);
      const last = pieces.at(-1);
      if (last && last.positionBytes + last.lengthBytes === offsetBytes) last.lengthBytes += lengthBytes;
      else pieces.push({ positionBytes: offsetBytes, lengthBytes });
    }
    return pieces;
  }

  async #setSums(pieces: readonly WriteRange[], sums: Uint32Array): Promise<void> {
    let from = 0;
    for (const { positionBytes, lengthBytes } of pieces) {
      const count = Math.ceil(lengthBytes / blockBytes);
      await this.#sums.set(positionBytes / blockBytes, sums.subarray(from, from + count));
      from += count;
    }
  }

  /**
   * The sums do not say what is there: a crash may leave new data under old sums, and the manifest that is applied again
   * (or the first of a new chain) then zeroes what the sums call zero already. So long ranges are punched whatever they
   * hold, which costs nothing where there is a hole; short ones are read, and what is not zero is overwritten.
   */
  async zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    this.#inside(offsetBytes, lengthBytes);
    const end = offsetBytes + lengthBytes;
    try {
      if (this.#options.punch !== undefined && lengthBytes >= punchBytesMin)
        await this.#options.punch(this.#path, offsetBytes, lengthBytes);
      else await this.#zeroWhatIsNot(offsetBytes, end);
      // 256 MiB at a time bounds the list of sums. Those that are zero already are left alone: they may be a hole.
      const stepBytes = 256 << 20;
      for (let at = offsetBytes; at < end; at += stepBytes) {
        const first = at / blockBytes;
        const sums = await this.#sums.get(first, Math.ceil(Math.min(stepBytes, end - at) / blockBytes));
        for (let i = 0; i < sums.length; ) {
          let next = i;
          while (next < sums.length && sums[next] !== 0) next++;
          if (next > i) await this.#sums.set(first + i, new Uint32Array(next - i));
          i = next + 1;
        }
      }
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  async #zeroWhatIsNot(offsetBytes: number, end: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(zeroes.byteLength, end - offsetBytes));
    for (let at = offsetBytes; at < end; at += buffer.byteLength) {
      const part = buffer.subarray(0, Math.min(buffer.byteLength, end - at));
      await this.read(part, at);
      const same = zeroes.subarray(0, part.byteLength);
      if (!part.equals(same)) await this.#data.write(same, at);
    }
  }

  /** Computes the sums of a range anew from what is really there. */
  async resum(offsetBytes: number, lengthBytes: number): Promise<void> {
    const buffer = new Uint8Array(Math.min(lengthBytes, 1 << 20));
    for (let done = 0; done < lengthBytes; done += buffer.byteLength) {
      const part = buffer.subarray(0, Math.min(buffer.byteLength, lengthBytes - done));
      await this.read(part, offsetBytes + done);
      await this.#sums.set((offsetBytes + done) / blockBytes, sumsOf(part));
    }
  }

  get digestConcurrency(): number {
    return this.#options.digester?.concurrency ?? 1;
  }

  async digests(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    this.#inside(offsetBytes, lengthBytes);
    assert(lengthBytes <= digestStretchBytes);
    const { digester } = this.#options;
    const { digests, sums } = digester
      ? await digester.digest({ path: this.#path, offsetBytes, lengthBytes })
      : digestChunks(await this.#stretch(offsetBytes, lengthBytes));
    await this.#sums.set(offsetBytes / blockBytes, sums);
    return digests;
  }

  async #stretch(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(lengthBytes);
    await this.read(bytes, offsetBytes);
    return bytes;
  }

  async flush(): Promise<void> {
    try {
      await Promise.all([this.#data.sync(), this.#sums.flush()]);
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  async close(): Promise<void> {
    await this.#data.close();
    await this.#sums.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inside(offsetBytes: number, lengthBytes: number): void {
    const end = offsetBytes + lengthBytes;
    if (
      !Number.isSafeInteger(end) ||
      offsetBytes < 0 ||
      offsetBytes % blockBytes !== 0 ||
      end > this.sizeBytes ||
      (lengthBytes % blockBytes !== 0 && end !== this.sizeBytes)
    )
      throw errors.ReplicaRangeOutside(this.#diskId, offsetBytes, lengthBytes, this.sizeBytes);
  }
}
