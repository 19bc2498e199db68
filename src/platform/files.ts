/**
 * File access as the byte path needs it: positions are explicit, durability is explicit, and the simulation has an
 * implementation that tears and loses what was not made durable.
 *
 * Durability contract, as POSIX gives it and no more:
 * - what was written is durable only after `sync()` of that handle;
 * - a file that was created, renamed or removed is durably so only after `syncDirectory()` of its directory.
 */
import { constants } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from './errors.ts';
import { giveBack } from './memory.ts';
import type { WriteRange } from './packed-ranges.ts';
import { writeScattered } from './scattered-writes.ts';

export type { WriteRange } from './packed-ranges.ts';

/** `read`: must exist. `write`: read and write, must exist. `create`: read and write, made when missing.
 * `exclusive`: read and write, must not exist yet (EEXIST). */
export type OpenMode = 'read' | 'write' | 'create' | 'exclusive';

export interface OpenFile extends AsyncDisposable {
  /** The operating system's number of this file, for threads of ours that write it while it is open; undefined where there is
   * none (simulation). */
  readonly descriptor?: number;
  /** Fills `target` from `positionBytes`; answers how many bytes there were (fewer only at the end of the file). */
  read(target: Uint8Array, positionBytes: number): Promise<number>;
  /** Writes all of `source` at `positionBytes`. */
  write(source: Uint8Array, positionBytes: number): Promise<void>;
  /** Writes what `source` has, one range after the other, to these places. `source` is given away. */
  writeRanges(source: Uint8Array, ranges: readonly WriteRange[]): Promise<void>;
  sizeBytes(): Promise<number>;
  truncate(sizeBytes: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Files {
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  /** Replaces `to` when it exists. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; silent when it is not there. */
  remove(path: string): Promise<void>;
  /** Removes a folder and all below it; silent when it is not there. */
  removeTree(path: string): Promise<void>;
  /** Names, sorted; empty when the folder is not there. */
  list(folder: string): Promise<string[]>;
  makeFolder(folder: string): Promise<void>;
  syncDirectory(folder: string): Promise<void>;
  /** Shares all blocks of `from` with the new file `to`; ENOTSUP/EOPNOTSUPP/EXDEV/EINVAL where the file system cannot. */
  clone(from: string, to: string): Promise<void>;
  /** Size in bytes; `undefined` when there is no such file. */
  sizeBytes(path: string): Promise<number | undefined>;
  freeBytes(folder: string): Promise<number>;
  /** Of the file system that the folder is on. */
  freePercent(folder: string): Promise<number>;
}

/** From here on a thread of its own is worth the message to it. */
const scatteredMin = 4;

/** `writeRanges` where there is nothing better. */
export async function writeOneByOne(
  file: Pick<OpenFile, 'write'>,
  source: Uint8Array,
  ranges: readonly WriteRange[],
): Promise<void> {
  let from = 0;
  await Promise.all(
    ranges.map(({ positionBytes, lengthBytes }) => {
      const piece = source.subarray(from, from + lengthBytes);
      from += lengthBytes;
      return file.write(piece, positionBytes);
    }),
  );
}

class SystemFile implements OpenFile {
  readonly #handle: FileHandle;
  constructor(handle: FileHandle) {
    this.#handle = handle;
  }
  get descriptor(): number {
    return this.#handle.fd;
  }
  async read(target: Uint8Array, positionBytes: number): Promise<number> {
    let done = 0;
    while (done < target.byteLength) {
      const { bytesRead } = await this.#handle.read(
        target,
        done,
        target.byteLength - done,
        positionBytes + done,
      );
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }
  async write(source: Uint8Array, positionBytes: number): Promise<void> {
    let done = 0;
    while (done < source.byteLength) {
      const { bytesWritten } = await this.#handle.write(
        source,
        done,
        source.byteLength - done,
        positionBytes + done,
      );
      done += bytesWritten;
    }
  }
  async writeRanges(source: Uint8Array, ranges: readonly WriteRange[]): Promise<void> {
    if (ranges.length >= scatteredMin) return await writeScattered(this.#handle.fd, source, ranges);
    await writeOneByOne(this, source, ranges);
    giveBack(source);
  }
  async sizeBytes(): Promise<number> {
    return (await this.#handle.stat()).size;
  }
  async truncate(sizeBytes: number): Promise<void> {
    await this.#handle.truncate(sizeBytes);
  }
  async sync(): Promise<void> {
    await this.#handle.datasync();
  }
  async close(): Promise<void> {
    await this.#handle.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const flags: Record<OpenMode, number> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT,
  exclusive: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};

export const systemFiles: Files = {
  open: async (path, mode) => new SystemFile(await open(path, flags[mode], 0o600)),
  rename: (from, to) => rename(from, to),
  // Not `rm`, which looks before: twice the work for the same answer.
  remove: async (path) => {
    try {
      await unlink(path);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  },
  removeTree: (path) => rm(path, { force: true, recursive: true }),
  list: async (folder) => {
    try {
      return (await readdir(folder)).sort();
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  },
  makeFolder: async (folder) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  },
  syncDirectory: async (folder) => {
    const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  clone: (from, to) => copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL),
  sizeBytes: async (path) => {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  },
  freeBytes: async (folder) => {
    const facts = await statfs(folder);
    return facts.bavail * facts.bsize;
  },
  freePercent: async (folder) => {
    const facts = await statfs(folder);
    return facts.blocks === 0 ? 100 : (facts.bavail / facts.blocks) * 100;
  },
};

/**
 * Reads a whole small file; `undefined` when it is not there. Refuses more than `limitBytes`. Size and content are those of
 * one file, also while another takes its place (`writeDurably`): a name that is looked at twice may be two files.
 */
export async function readWhole(
  files: Files,
  path: string,
  limitBytes = 16 << 20,
): Promise<Buffer | undefined> {
  let opened: OpenFile;
  try {
    opened = await files.open(path, 'read');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  await using file = opened;
  const sizeBytes = await file.sizeBytes();
  if (sizeBytes > limitBytes) throw new RangeError(`${path} has ${sizeBytes} bytes, over ${limitBytes}`);
  const content = Buffer.alloc(sizeBytes);
  return content.subarray(0, await file.read(content, 0));
}

/** Writes a small file so that after a crash either the old or the new content is there, whole. */
export async function writeDurably(files: Files, path: string, content: Uint8Array): Promise<void> {
  const draft = `${path}.draft`;
  await files.remove(draft);
  {
    await using file = await files.open(draft, 'exclusive');
    await file.write(content, 0);
    await file.sync();
  }
  await files.rename(draft, path);
  await files.syncDirectory(dirname(path));
}
