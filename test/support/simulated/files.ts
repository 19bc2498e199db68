/**
 * A simulated machine's file system: what programs see (the page cache) and what is durable are two things, and only
 * `sync` and `syncDirectory` bring them together. The faults it makes, and what the houses promise to survive:
 *
 * - **kill -9** (a `Life` ends): nothing that was written is lost, but an operation under way may or may not have happened,
 *   and nobody learns which. Any number of times.
 * - **power loss** (`losePower`): what was not synced is lost, kept or torn:
 *   - content: every 512-byte sector that was written since the file's last `sync` is kept or goes back to what was durable,
 *     each by itself, so writes are torn and reordered; how likely is drawn anew for each loss (all, none, some);
 *   - length: the durable one, the new one, or (a file that grew) one between; a kept length may have zeroes at its end where
 *     the content did not make it, as with delayed allocation;
 *   - names: creations, renames and removals since the folder's last `syncDirectory` are lost or kept: either all up to some
 *     point in time (a journalling file system) or each by itself (POSIX and no more). A rename is never half done.
 *   What was synced is never lost. A folder made by `makeFolder` is taken as durable at once.
 * - **disk full** (`isFull`): whatever would take space fails with ENOSPC, a longer write after a part of it. It ends some
 *   time; the houses go on then by themselves.
 * - **EIO** (`readErrorChance`, `writeErrorChance`): a read or write fails, a write after a part of it; `syncErrorChance`: a
 *   sync fails and, as Linux does it, what was dirty counts as clean from then on and is not durable: trying the sync again
 *   succeeds and means nothing.
 * - **slow disk** (`slowness`): everything takes that many times longer.
 * - **bit rot** (`flipBit`): one bit of a file at rest changes, durably and in the cache. Promised only where data can be had
 *   again or where the damage is to be reported: cache storage objects.
 */
import { strict as assert } from 'node:assert';
import {
  type Files,
  type OpenFile,
  type OpenMode,
  type WriteRange,
  writeOneByOne,
} from '../../../src/platform/files.ts';
import { type Life, never, type Timeline } from './clock.ts';
import type { SeededRandom } from './random.ts';

const pageBytes = 4096;
const sectorBytes = 512;
const zeroPage = Buffer.alloc(pageBytes);

/** Pages are never changed in place once they are in here: clones, snapshots and the durable side share them. */
interface Content {
  pages: Map<number, Buffer>;
  sizeBytes: number;
}

class FileNode {
  readonly kind = 'file';
  cached: Content = { pages: new Map(), sizeBytes: 0 };
  durable: Content = { pages: new Map(), sizeBytes: 0 };
  /** Page → bits of its 8 sectors that differ from what is durable. */
  dirty = new Map<number, number>();
}

class FolderNode {
  readonly kind = 'folder';
  entries = new Map<string, Node>();
  durable = new Map<string, Node>();
}

type Node = FileNode | FolderNode;

/** Sets or takes away names; `undefined` takes away. All of one change or nothing of it. */
interface NameChange {
  readonly names: readonly {
    readonly folder: FolderNode;
    readonly name: string;
    readonly node: Node | undefined;
  }[];
  /** What must be there for the change to make sense after a loss of earlier ones. */
  readonly requires?: { readonly folder: FolderNode; readonly name: string; readonly node: Node };
}

function failure(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code });
}

export class SimulatedDrive {
  isFull = false;
  readErrorChance = 0;
  writeErrorChance = 0;
  syncErrorChance = 0;
  slowness = 1;
  readonly timeline: Timeline;
  readonly random: SeededRandom;
  readonly #root = new FolderNode();
  #pending: NameChange[] = [];

  constructor(timeline: Timeline, random: SeededRandom) {
    this.timeline = timeline;
    this.random = random;
  }

  /** The file system as one process sees it. */
  files(life: Life): Files {
    return new SimulatedFiles(this, life);
  }

  /** Every process of the machine must have ended before. */
  losePower(): void {
    this.#loseNames();
    const keepChance = this.random.choose([0, 0.5, 0.9, 1]);
    for (const file of this.#allFiles()) this.#loseContent(file, keepChance);
  }

  /** Takes over all files of another machine as programs see them there, durably: a cloned machine. */
  copyFrom(other: SimulatedDrive): void {
    for (const path of other.paths('')) {
      const source = other.#file(path)!;
      this.makeFolder(path.slice(0, path.lastIndexOf('/')));
      const { folder, name } = this.parent(path);
      const node = new FileNode();
      node.cached = { pages: new Map(source.cached.pages), sizeBytes: source.cached.sizeBytes };
      node.durable = { pages: new Map(source.cached.pages), sizeBytes: source.cached.sizeBytes };
      folder!.entries.set(name, node);
      folder!.durable.set(name, node);
    }
  }

  /** Flips one bit of one file below `folder` whose path passes `matches`; answers its path. */
  flipBit(folder: string, matches: (path: string) => boolean): string | undefined {
    const paths = this.paths(folder).filter(
      (path) => matches(path) && this.#file(path)!.cached.sizeBytes > 0,
    );
    if (paths.length === 0) return undefined;
    const path = this.random.choose(paths);
    const file = this.#file(path)!;
    const position = this.random.between(0, file.cached.sizeBytes - 1);
    const bit = 1 << this.random.between(0, 7);
    for (const { pages } of [file.cached, file.durable]) {
      const page = Buffer.from(pages.get(Math.floor(position / pageBytes)) ?? zeroPage);
      page[position % pageBytes]! ^= bit;
      pages.set(Math.floor(position / pageBytes), page);
    }
    return path;
  }

  /** What programs see at this moment, at once and without faults: for the oracle. */
  peek(path: string): Buffer | undefined {
    const file = this.#file(path);
    if (!file) return undefined;
    const whole = Buffer.alloc(file.cached.sizeBytes);
    readContent(file.cached, whole, 0);
    return whole;
  }

  /** What would be left of a file if every unsynced byte were lost. */
  peekDurable(path: string): Buffer | undefined {
    const file = this.#file(path);
    if (!file) return undefined;
    const whole = Buffer.alloc(file.durable.sizeBytes);
    readContent(file.durable, whole, 0);
    return whole;
  }

  /** Somebody puts other content into a file that is there, durably. */
  place(path: string, content: Buffer): void {
    const file = this.#file(path);
    assert(file, `there is no ${path}`);
    file.cached = { pages: new Map(), sizeBytes: 0 };
    writeContent(file, content, 0);
    file.durable = { pages: new Map(), sizeBytes: 0 };
    this.syncFile(file);
  }

  /** Paths of all files below a folder, sorted. */
  paths(folder: string): string[] {
    const found: string[] = [];
    const walk = (node: Node | undefined, path: string) => {
      if (!node) return;
      if (node.kind === 'file') found.push(path);
      else for (const [name, child] of node.entries) walk(child, `${path}/${name}`);
    };
    walk(this.find(folder), folder);
    return found.sort();
  }

  /** For the loss of a whole folder (a spool's disk that died): gone, durably, at once. */
  destroy(path: string): void {
    const { folder, name } = this.parent(path);
    folder?.entries.delete(name);
    folder?.durable.delete(name);
    this.#pending = [];
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split('/').filter((part) => part !== '')) {
      if (node?.kind !== 'folder') return undefined;
      node = node.entries.get(part);
    }
    return node;
  }

  parent(path: string): { folder: FolderNode | undefined; name: string } {
    const parts = path.split('/').filter((part) => part !== '');
    const name = parts.pop();
    assert(name !== undefined, 'a path has a name');
    const folder = this.find(parts.join('/'));
    return { folder: folder?.kind === 'folder' ? folder : undefined, name };
  }

  change(change: NameChange): void {
    apply(change, 'entries');
    this.#pending.push(change);
  }

  makeFolder(path: string): void {
    let node: FolderNode = this.#root;
    for (const part of path.split('/').filter((part) => part !== '')) {
      let next = node.entries.get(part);
      if (!next) {
        next = new FolderNode();
        this.change({ names: [{ folder: node, name: part, node: next }] });
        this.syncFolder(node);
      }
      if (next.kind !== 'folder') throw failure('ENOTDIR', path);
      node = next;
    }
  }

  /** Makes the folder's changes durable, and of earlier changes those that have to do with the same names. */
  syncFolder(folder: FolderNode): void {
    const chosen: NameChange[] = [];
    const touched: { folder: FolderNode; name: string }[] = [];
    for (const change of this.#pending.toReversed()) {
      const concerns = change.names.some(
        (one) =>
          one.folder === folder ||
          touched.some((other) => other.folder === one.folder && other.name === one.name),
      );
      if (!concerns) continue;
      chosen.push(change);
      touched.push(...change.names);
    }
    for (const change of chosen.reverse()) apply(change, 'durable');
    this.#pending = this.#pending.filter((change) => !chosen.includes(change));
  }

  syncFile(file: FileNode): void {
    for (const [index, sectors] of file.dirty) {
      const fresh = file.cached.pages.get(index) ?? zeroPage;
      const page = sectors === 0xff ? fresh : mixed(file.durable.pages.get(index), fresh, sectors);
      file.durable.pages.set(index, page);
    }
    const hasShrunk = file.cached.sizeBytes < file.durable.sizeBytes;
    file.durable.sizeBytes = file.cached.sizeBytes;
    if (hasShrunk) cutPages(file.durable);
    file.dirty.clear();
  }

  /** After a failed sync, what stays in the cache counts as clean: a later sync does not write it either. */
  forgetDirty(file: FileNode): void {
    file.dirty.clear();
  }

  #file(path: string): FileNode | undefined {
    const node = this.find(path);
    return node?.kind === 'file' ? node : undefined;
  }

  #loseNames(): void {
    const inOrder = this.random.chance(0.7);
    const keepChance = this.random.choose([0, 0.5, 1]);
    const kept = inOrder
      ? this.#pending.slice(0, this.random.between(0, this.#pending.length))
      : this.#pending.filter(() => this.random.chance(keepChance));
    for (const change of kept) {
      const needs = change.requires;
      if (needs && needs.folder.durable.get(needs.name) !== needs.node) continue;
      apply(change, 'durable');
    }
    this.#pending = [];
    const restore = (folder: FolderNode) => {
      folder.entries = new Map(folder.durable);
      for (const node of folder.entries.values()) if (node.kind === 'folder') restore(node);
    };
    restore(this.#root);
  }

  #allFiles(): FileNode[] {
    const found = new Set<FileNode>();
    const walk = (folder: FolderNode) => {
      for (const node of folder.entries.values())
        if (node.kind === 'file') found.add(node);
        else walk(node);
    };
    walk(this.#root);
    return [...found];
  }

  #loseContent(file: FileNode, keepChance: number): void {
    const before = file.durable.sizeBytes;
    const after = file.cached.sizeBytes;
    let sizeBytes = this.random.choose([before, after]);
    if (after > before && this.random.chance(0.3)) sizeBytes = this.random.between(before, after);
    if (keepChance === 1) sizeBytes = after;
    const pages = new Map(file.durable.pages);
    for (const [index, sectors] of file.dirty) {
      let kept = 0;
      for (let sector = 0; sector < pageBytes / sectorBytes; sector++)
        if ((sectors >> sector) & 1 && this.random.chance(keepChance)) kept |= 1 << sector;
      pages.set(index, mixed(pages.get(index), file.cached.pages.get(index) ?? zeroPage, kept));
    }
    const content = { pages, sizeBytes };
    cutPages(content);
    file.durable = content;
    file.cached = { pages: new Map(pages), sizeBytes };
    file.dirty.clear();
  }
}

/** `old` with those of its sectors replaced by the fresh page's whose bits are set. */
function mixed(old: Buffer | undefined, fresh: Buffer, sectors: number): Buffer {
  const page = Buffer.from(old ?? zeroPage);
  for (let sector = 0; sector < pageBytes / sectorBytes; sector++)
    if ((sectors >> sector) & 1)
      fresh.copy(page, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes);
  return page;
}

function apply(change: NameChange, side: 'entries' | 'durable'): void {
  for (const { folder, name, node } of change.names)
    if (node) folder[side].set(name, node);
    else folder[side].delete(name);
}

function readContent(content: Content, target: Uint8Array, positionBytes: number): number {
  const count = Math.max(0, Math.min(target.byteLength, content.sizeBytes - positionBytes));
  for (let done = 0; done < count; ) {
    const position = positionBytes + done;
    const start = position % pageBytes;
    const length = Math.min(pageBytes - start, count - done);
    const page = content.pages.get(Math.floor(position / pageBytes)) ?? zeroPage;
    target.set(page.subarray(start, start + length), done);
    done += length;
  }
  return count;
}

/** Drops pages beyond the end, and blanks what lies beyond it in the last page. */
function cutPages(content: Content): void {
  for (const [index, page] of content.pages) {
    const end = content.sizeBytes - index * pageBytes;
    if (end <= 0) content.pages.delete(index);
    else if (end < pageBytes)
      content.pages.set(index, Buffer.concat([page.subarray(0, end), zeroPage.subarray(end)]));
  }
}

function writeContent(file: FileNode, source: Uint8Array, positionBytes: number): void {
  for (let done = 0; done < source.byteLength; ) {
    const position = positionBytes + done;
    const index = Math.floor(position / pageBytes);
    const start = position % pageBytes;
    const length = Math.min(pageBytes - start, source.byteLength - done);
    const page = Buffer.from(file.cached.pages.get(index) ?? zeroPage);
    page.set(source.subarray(done, done + length), start);
    file.cached.pages.set(index, page);
    markDirty(file, position, length);
    done += length;
  }
  file.cached.sizeBytes = Math.max(file.cached.sizeBytes, positionBytes + source.byteLength);
}

function markDirty(file: FileNode, positionBytes: number, lengthBytes: number): void {
  const first = Math.floor(positionBytes / sectorBytes);
  const last = Math.floor((positionBytes + lengthBytes - 1) / sectorBytes);
  for (let sector = first; sector <= last; sector++) {
    const index = Math.floor(sector / 8);
    file.dirty.set(index, (file.dirty.get(index) ?? 0) | (1 << (sector % 8)));
  }
}

class SimulatedFiles implements Files {
  readonly #drive: SimulatedDrive;
  readonly #life: Life;

  constructor(drive: SimulatedDrive, life: Life) {
    this.#drive = drive;
    this.#life = life;
  }

  /** Every operation takes a while before it happens and a while until the caller learns of it; it may die between. */
  async act<T>(operation: () => T): Promise<T> {
    await this.#wait();
    let result: T;
    try {
      result = operation();
    } catch (error) {
      await this.#wait();
      throw error;
    }
    await this.#wait();
    return result;
  }

  #wait(): Promise<void> {
    if (this.#life.hasEnded) return never();
    const milliseconds = this.#drive.random.range(0.01, 0.3) * this.#drive.slowness;
    return new Promise((resolve) => {
      this.#drive.timeline.after(milliseconds, resolve, this.#life);
    });
  }

  open(path: string, mode: OpenMode): Promise<OpenFile> {
    return this.act(() => {
      const { folder, name } = this.#drive.parent(path);
      if (!folder) throw failure('ENOENT', path);
      let node = folder.entries.get(name);
      if (node?.kind === 'folder') throw failure('EISDIR', path);
      if (node && mode === 'exclusive') throw failure('EEXIST', path);
      if (!node) {
        if (mode === 'read' || mode === 'write') throw failure('ENOENT', path);
        if (this.#drive.isFull) throw failure('ENOSPC', path);
        node = new FileNode();
        this.#drive.change({ names: [{ folder, name, node }] });
      }
      return new SimulatedFile(this, this.#drive, node, path, mode !== 'read');
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.act(() => {
      const source = this.#drive.parent(from);
      const target = this.#drive.parent(to);
      const node = source.folder?.entries.get(source.name);
      if (!source.folder || !node || !target.folder) throw failure('ENOENT', `${from} -> ${to}`);
      const there = target.folder.entries.get(target.name);
      if (there?.kind === 'folder' && (node.kind !== 'folder' || there.entries.size > 0))
        throw failure('ENOTEMPTY', to);
      this.#drive.change({
        names: [
          { folder: source.folder, name: source.name, node: undefined },
          { folder: target.folder, name: target.name, node },
        ],
        requires: { folder: source.folder, name: source.name, node },
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.act(() => {
      const { folder, name } = this.#drive.parent(path);
      const node = folder?.entries.get(name);
      if (!folder || !node) return;
      if (node.kind === 'folder') throw failure('EISDIR', path);
      this.#drive.change({ names: [{ folder, name, node: undefined }] });
    });
  }

  /** One file after the other, so that a death on the way leaves a part. */
  async removeTree(path: string): Promise<void> {
    const node = await this.act(() => this.#drive.find(path));
    if (node?.kind === 'folder')
      for (const name of [...node.entries.keys()]) await this.removeTree(`${path}/${name}`);
    await this.act(() => {
      const { folder, name } = this.#drive.parent(path);
      if (folder?.entries.has(name)) this.#drive.change({ names: [{ folder, name, node: undefined }] });
    });
  }

  list(folder: string): Promise<string[]> {
    return this.act(() => {
      const node = this.#drive.find(folder);
      if (!node) return [];
      if (node.kind === 'file') throw failure('ENOTDIR', folder);
      return [...node.entries.keys()].sort();
    });
  }

  makeFolder(folder: string): Promise<void> {
    return this.act(() => {
      if (this.#drive.isFull && !this.#drive.find(folder)) throw failure('ENOSPC', folder);
      this.#drive.makeFolder(folder);
    });
  }

  syncDirectory(folder: string): Promise<void> {
    return this.act(() => {
      const node = this.#drive.find(folder);
      if (node?.kind !== 'folder') throw failure('ENOENT', folder);
      if (this.#drive.random.chance(this.#drive.syncErrorChance)) throw failure('EIO', folder);
      this.#drive.syncFolder(node);
    });
  }

  clone(from: string, to: string): Promise<void> {
    return this.act(() => {
      const source = this.#drive.find(from);
      const { folder, name } = this.#drive.parent(to);
      if (source?.kind !== 'file' || !folder) throw failure('ENOENT', `${from} -> ${to}`);
      if (folder.entries.has(name)) throw failure('EEXIST', to);
      if (this.#drive.isFull) throw failure('ENOSPC', to);
      const node = new FileNode();
      node.cached = { pages: new Map(source.cached.pages), sizeBytes: source.cached.sizeBytes };
      for (const index of node.cached.pages.keys()) node.dirty.set(index, 0xff);
      this.#drive.change({ names: [{ folder, name, node }] });
    });
  }

  sizeBytes(path: string): Promise<number | undefined> {
    return this.act(() => {
      const node = this.#drive.find(path);
      if (node?.kind === 'folder') return pageBytes;
      return node?.cached.sizeBytes;
    });
  }

  freeBytes(_folder: string): Promise<number> {
    return this.act(() => (this.#drive.isFull ? 0 : 2 ** 40));
  }

  freePercent(_folder: string): Promise<number> {
    return this.act(() => (this.#drive.isFull ? 0 : 90));
  }
}

class SimulatedFile implements OpenFile {
  readonly #files: SimulatedFiles;
  readonly #drive: SimulatedDrive;
  readonly #node: FileNode;
  readonly #path: string;
  readonly #isWritable: boolean;
  #isClosed = false;

  constructor(
    files: SimulatedFiles,
    drive: SimulatedDrive,
    node: FileNode,
    path: string,
    isWritable: boolean,
  ) {
    this.#files = files;
    this.#drive = drive;
    this.#node = node;
    this.#path = path;
    this.#isWritable = isWritable;
  }

  #check(mustWrite: boolean): void {
    if (this.#isClosed || (mustWrite && !this.#isWritable)) throw failure('EBADF', this.#path);
  }

  read(target: Uint8Array, positionBytes: number): Promise<number> {
    return this.#files.act(() => {
      this.#check(false);
      if (this.#drive.random.chance(this.#drive.readErrorChance)) throw failure('EIO', this.#path);
      return readContent(this.#node.cached, target, positionBytes);
    });
  }

  writeRanges(source: Uint8Array, ranges: readonly WriteRange[]): Promise<void> {
    return writeOneByOne(this, source, ranges);
  }

  write(source: Uint8Array, positionBytes: number): Promise<void> {
    return this.#files.act(() => {
      this.#check(true);
      const code = this.#drive.isFull
        ? 'ENOSPC'
        : this.#drive.random.chance(this.#drive.writeErrorChance)
          ? 'EIO'
          : undefined;
      if (code === undefined) return writeContent(this.#node, source, positionBytes);
      const partBytes = this.#drive.random.between(0, Math.max(0, source.byteLength - 1));
      if (partBytes > 0) writeContent(this.#node, source.subarray(0, partBytes), positionBytes);
      throw failure(code, this.#path);
    });
  }

  sizeBytes(): Promise<number> {
    return this.#files.act(() => {
      this.#check(false);
      return this.#node.cached.sizeBytes;
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#files.act(() => {
      this.#check(true);
      const content = this.#node.cached;
      if (sizeBytes < content.sizeBytes) markDirty(this.#node, sizeBytes, content.sizeBytes - sizeBytes);
      content.sizeBytes = sizeBytes;
      cutPages(content);
    });
  }

  sync(): Promise<void> {
    return this.#files.act(() => {
      this.#check(false);
      if (this.#drive.random.chance(this.#drive.syncErrorChance)) {
        this.#drive.forgetDirty(this.#node);
        throw failure('EIO', this.#path);
      }
      this.#drive.syncFile(this.#node);
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#files.act(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
