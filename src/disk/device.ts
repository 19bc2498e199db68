/**
 * A real disk: a block device, or a raw file that stands for one, read and written past the page cache (O_DIRECT).
 * The drain reads a protected disk here. The vault's threads open replica disks the same way (`openDirectSync`).
 *
 * Why O_DIRECT: a buffered read of `/dev/sda` has its own page cache, which knows nothing of what the file systems on
 * `/dev/sda1` wrote meanwhile. Direct reads see what the device has.
 *
 * The caller's memory goes to the kernel as it is when it comes from an `Arena`; any other memory is copied through a
 * small arena, piece by piece. Disks whose size is no multiple of 4096 end in a shorter block, which is read and written
 * with just that length.
 *
 * This is a leaf adapter to real devices: it uses `node:fs` itself because `platform/files` has no O_DIRECT and no
 * devices, and the simulation has its own `Disk`.
 */
import { strict as assert } from 'node:assert';
import { constants, openSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { hasCode } from '../platform/errors.ts';
import { Arena, isPageAligned } from './arena.ts';
import { blockBytes, type Disk, extentBytesMax } from './disk.ts';
import { diskErrors } from './errors.ts';

export interface OpenDeviceOptions {
  /** Copies of unaligned buffers go through it. Default: one that all devices of the process share. */
  readonly arena?: Arena;
}

/** @param mode `write`: read and write; refused while a file system or another driver has the device. */
export async function openDevice(
  path: string,
  mode: 'read' | 'write',
  options: OpenDeviceOptions = {},
): Promise<Device> {
  // O_EXCL is the kernel's word for "nobody has this mounted": two writers would tear each other's file system apart.
  // A raw file is not concerned: without O_CREAT the flag means nothing there.
  const access = mode === 'write' ? constants.O_RDWR | constants.O_EXCL : constants.O_RDONLY;
  let handle: FileHandle;
  try {
    handle = await openDirect(path, access);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENXIO', 'ENODEV')) throw diskErrors.DiskUnknown(path, cause);
    if (hasCode(cause, 'EBUSY')) throw diskErrors.DiskInUse(path, await usersOf(path), cause);
    if (hasCode(cause, 'EACCES', 'EPERM', 'EROFS')) throw diskErrors.DiskForbidden(path, cause);
    if (hasCode(cause, 'EISDIR')) throw diskErrors.DiskNotUsable(path, 'a folder');
    throw cause;
  }
  try {
    const facts = await handle.stat();
    if (facts.isBlockDevice()) {
      const { sizeBytes, sectorBytes } = await blockDeviceFacts(facts.rdev);
      if (sizeBytes === 0) throw diskErrors.DiskUnknown(path, new Error('the device has no medium: size 0'));
      return new Device(path, mode, handle, sizeBytes, sectorBytes, options.arena ?? sharedArena());
    }
    if (!facts.isFile()) throw diskErrors.DiskNotUsable(path, 'something else');
    return new Device(path, mode, handle, facts.size, 512, options.arena ?? sharedArena());
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export class Device implements Disk {
  readonly path: string;
  readonly sizeBytes: number;
  /** The device's logical sector: the smallest piece that O_DIRECT moves. */
  readonly sectorBytes: number;
  readonly #mode: 'read' | 'write';
  readonly #handle: FileHandle;
  readonly #arena: Arena;
  #closed = false;

  constructor(
    path: string,
    mode: 'read' | 'write',
    handle: FileHandle,
    sizeBytes: number,
    sectorBytes: number,
    arena: Arena,
  ) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.sectorBytes = sectorBytes;
    this.#mode = mode;
    this.#handle = handle;
    this.#arena = arena;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    this.#assertRange(target.byteLength, offsetBytes);
    if (this.#isDirect(target)) return this.#readDirect(target, offsetBytes, target.byteLength);
    for (const piece of pieces(target)) {
      // A tail that is no whole sector (raw files only) is read as a whole block and comes back short.
      using loan = await this.#arena.borrow(roundUp(piece.bytes.byteLength, blockBytes));
      const whole = roundUp(piece.bytes.byteLength, this.sectorBytes);
      await this.#readDirect(
        loan.bytes.subarray(0, whole),
        offsetBytes + piece.start,
        piece.bytes.byteLength,
      );
      piece.bytes.set(loan.bytes.subarray(0, piece.bytes.byteLength));
    }
  }

  async write(source: Uint8Array, offsetBytes: number): Promise<void> {
    assert(this.#mode === 'write', `${this.path} is open for reading only`);
    this.#assertRange(source.byteLength, offsetBytes);
    if (this.#isDirect(source)) return this.#writeDirect(source, offsetBytes);
    for (const piece of pieces(source)) {
      const oddBytes = piece.bytes.byteLength % this.sectorBytes;
      const whole = piece.bytes.subarray(0, piece.bytes.byteLength - oddBytes);
      if (whole.byteLength > 0) {
        using loan = await this.#arena.borrow(whole.byteLength);
        loan.bytes.set(whole);
        await this.#writeDirect(loan.bytes, offsetBytes + piece.start);
      }
      if (oddBytes > 0)
        await this.#writeOddTail(
          piece.bytes.subarray(whole.byteLength),
          offsetBytes + piece.start + whole.byteLength,
        );
    }
  }

  async flush(): Promise<void> {
    if (this.#mode === 'read') return;
    try {
      await this.#handle.datasync();
    } catch (cause) {
      throw diskErrors.DiskWriteFailed(this.path, 0, 0, cause);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #isDirect(bytes: Uint8Array): boolean {
    return isPageAligned(bytes) && bytes.byteLength % this.sectorBytes === 0;
  }

  /** Fills `target`; fewer bytes than `neededBytes` are an error (the disk shrank). */
  async #readDirect(target: Uint8Array, offsetBytes: number, neededBytes: number): Promise<void> {
    let done = 0;
    try {
      while (done < neededBytes) {
        const { bytesRead } = await this.#handle.read(
          target,
          done,
          target.byteLength - done,
          offsetBytes + done,
        );
        if (bytesRead === 0) throw new Error(`the disk ends at ${offsetBytes + done}`);
        done += bytesRead;
      }
    } catch (cause) {
      throw diskErrors.DiskReadFailed(this.path, offsetBytes + done, neededBytes - done, cause);
    }
  }

  async #writeDirect(source: Uint8Array, offsetBytes: number): Promise<void> {
    let done = 0;
    try {
      while (done < source.byteLength) {
        const { bytesWritten } = await this.#handle.write(
          source,
          done,
          source.byteLength - done,
          offsetBytes + done,
        );
        done += bytesWritten;
      }
    } catch (cause) {
      throw diskErrors.DiskWriteFailed(this.path, offsetBytes + done, source.byteLength - done, cause);
    }
  }

  /** The end of a raw file whose size is no multiple of a sector: the one thing that goes through the page cache. */
  async #writeOddTail(source: Uint8Array, offsetBytes: number): Promise<void> {
    try {
      const handle = await open(this.path, constants.O_WRONLY);
      try {
        await handle.write(source, 0, source.byteLength, offsetBytes);
        await handle.datasync();
      } finally {
        await handle.close();
      }
    } catch (cause) {
      throw diskErrors.DiskWriteFailed(this.path, offsetBytes, source.byteLength, cause);
    }
  }

  #assertRange(lengthBytes: number, offsetBytes: number): void {
    assert(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, `offset ${offsetBytes}`);
    assert(lengthBytes > 0 && offsetBytes + lengthBytes <= this.sizeBytes, 'beyond the end of the disk');
    assert(offsetBytes % blockBytes === 0, `offset ${offsetBytes} is no multiple of ${blockBytes}`);
    assert(
      lengthBytes % blockBytes === 0 || offsetBytes + lengthBytes === this.sizeBytes,
      `length ${lengthBytes} is no multiple of ${blockBytes} and does not end with the disk`,
    );
  }
}

/** Size and logical sector of a block device, as sysfs knows them. `deviceNumber`: `st_rdev`. */
async function blockDeviceFacts(deviceNumber: number): Promise<{ sizeBytes: number; sectorBytes: number }> {
  const { major, minor } = splitDeviceNumber(deviceNumber);
  const folder = `/sys/dev/block/${major}:${minor}`;
  // Always in units of 512, whatever the sector is.
  const sizeBytes = Number(await readFile(`${folder}/size`, 'utf8')) * 512;
  // A partition has no queue of its own; its disk is the folder above.
  const sector = await readFile(`${folder}/queue/logical_block_size`, 'utf8').catch(() =>
    readFile(`${folder}/../queue/logical_block_size`, 'utf8'),
  );
  return { sizeBytes, sectorBytes: Number(sector) };
}

/** What has a device or one of its partitions, for a person to look at: mount points and the devices on top of it. */
async function usersOf(path: string): Promise<string[]> {
  try {
    const { major, minor } = splitDeviceNumber((await stat(path)).rdev);
    const folder = `/sys/dev/block/${major}:${minor}`;
    const numbers = new Set([`${major}:${minor}`]);
    const holdersOf = (device: string): Promise<string[]> => readdir(`${device}/holders`).catch(() => []);
    const users = await holdersOf(folder);
    for (const name of await readdir(folder)) {
      const isPartition = await readFile(`${folder}/${name}/partition`).catch(() => undefined);
      if (isPartition === undefined) continue;
      numbers.add((await readFile(`${folder}/${name}/dev`, 'utf8')).trim());
      users.push(...(await holdersOf(`${folder}/${name}`)));
    }
    // The third field of a line is the device, the fifth where it is mounted.
    for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
      const [, , device, , mountPoint] = line.split(' ');
      if (device !== undefined && numbers.has(device)) users.push(mountPoint!);
    }
    return users;
  } catch {
    // Only the wording of a refusal depends on it.
    return [];
  }
}

/** glibc's encoding of `st_rdev`. */
export function splitDeviceNumber(deviceNumber: number): { major: number; minor: number } {
  const value = BigInt(deviceNumber);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffff_ff00n)),
  };
}

async function openDirect(path: string, access: number): Promise<FileHandle> {
  try {
    return await open(path, access | constants.O_DIRECT);
  } catch (error) {
    // A raw file on a file system without O_DIRECT (tmpfs before 6.6): its own page cache is the truth there, so that
    // buffered access is right. A block device always has O_DIRECT.
    if (hasCode(error, 'EINVAL')) return open(path, access);
    throw error;
  }
}

/** The same for threads of ours that do one thing at a time; the caller closes the descriptor. */
export function openDirectSync(path: string, access: number): number {
  try {
    return openSync(path, access | constants.O_DIRECT);
  } catch (error) {
    if (hasCode(error, 'EINVAL')) return openSync(path, access);
    throw error;
  }
}

function* pieces<T extends Uint8Array>(bytes: T): Generator<{ start: number; bytes: Uint8Array }> {
  for (let start = 0; start < bytes.byteLength; start += extentBytesMax)
    yield { start, bytes: bytes.subarray(start, start + extentBytesMax) };
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** 8 MiB: eight extents of the largest size under way at once; further copies wait. */
const sharedArenaBytes = 8 * extentBytesMax;
let shared: Arena | undefined;

function sharedArena(): Arena {
  shared ??= new Arena(sharedArenaBytes);
  return shared;
}
