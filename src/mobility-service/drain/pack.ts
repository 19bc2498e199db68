/**
 * Compresses what is sent, once for the whole way: process server and cache storage pass it on as it is, and the vault
 * unpacks it when it writes to a replica disk. So the wire, the journal and every check-sum on the way are of a third of
 * the bytes. What does not shrink goes as it is; short runs do, too, since on their own they hardly shrink and refine
 * packs many of them together.
 */
import type { Transform } from 'node:stream';
import { constants, createZstdCompress, type ZstdOptions, zstdCompressSync } from 'node:zlib';
import { extentBytesMax } from '../../disk/disk.ts';
import { giveBack } from '../../platform/memory.ts';
import { packedBytesMin } from '../../protocol/replication/frame.ts';
import { laneRoomBytes, packLanes, packRatioMin } from '../limits.ts';

export interface Packer {
  /** Shorter runs go as they are. */
  readonly bytesMin: number;
  /** A zstd frame of `bytes`, or undefined when it gains too little. `bytes` may change once it has resolved. */
  pack(bytes: Uint8Array): Promise<Uint8Array | undefined>;
  /** The frame that `pack` answered is sent, or will never be: nobody looks at it any more. */
  release(packed: Uint8Array): void;
}

/** Level 1: level 3 takes a third longer for 8 % less, and -2 a quarter less time for 18 % more. */
const level = { [constants.ZSTD_c_compressionLevel]: 1 };

const whenGood = (packed: Uint8Array, bytes: Uint8Array) =>
  packed.byteLength * packRatioMin < bytes.byteLength ? packed : undefined;

interface Lane {
  readonly zstd: Transform;
  turn: Promise<unknown>;
  waiting: number;
  /** Where its last frame lies, and perhaps its next one. */
  room?: ArrayBufferLike;
}

/**
 * In libuv's threads, both cores of a small machine, without the 15 MB that a worker thread costs each. A lane is one zstd
 * context that ends a frame with each write: making one anew for each MiB takes half a MiB of memory each time, which only
 * the garbage collector gives back. The room that its frames lie in is given back by hand when the last of them is sent and
 * the lane has gone on to another one: waiting for the collector took a sixth of the service's processor time.
 */
export class LanePacker implements Packer {
  readonly bytesMin = packedBytesMin;
  readonly #lanes: Lane[] = [];
  /** Frames of each room that are not sent yet. Weak: the room of a broken lane is the collector's. */
  readonly #unsent = new WeakMap<ArrayBufferLike, number>();

  async pack(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    let lane = this.#lanes.find(({ waiting }) => waiting === 0);
    if (!lane && this.#lanes.length < packLanes) {
      const zstd = createZstdCompress({
        params: level,
        flush: constants.ZSTD_e_end,
        chunkSize: laneRoomBytes,
        // What is made is taken at once; it must never wait for room.
        readableHighWaterMark: 4 * extentBytesMax,
      } as ZstdOptions);
      lane = { zstd, turn: Promise.resolve(), waiting: 0 };
      this.#lanes.push(lane);
    }
    lane ??= this.#lanes.reduce((one, other) => (other.waiting < one.waiting ? other : one));
    const mine = lane;
    mine.waiting++;
    const packed = mine.turn.then(async () => this.#lent(mine, await throughLane(mine.zstd, bytes)));
    mine.turn = packed.catch(() => {
      // A broken context is not used again; its caller has the error.
      this.#lanes.splice(this.#lanes.indexOf(mine), 1);
    });
    try {
      const frame = await packed;
      const good = whenGood(frame, bytes);
      if (good === undefined) this.release(frame);
      return good;
    } finally {
      mine.waiting--;
    }
  }

  release(packed: Uint8Array): void {
    const unsent = this.#unsent.get(packed.buffer);
    if (unsent === undefined) return;
    this.#unsent.set(packed.buffer, unsent - 1);
    this.#giveBack(packed.buffer);
  }

  #lent(lane: Lane, packed: Uint8Array): Uint8Array {
    const { buffer } = packed;
    // Where a frame began in one room and ended in the next, it is a copy elsewhere, which others may lie beside.
    if (buffer.byteLength !== laneRoomBytes) return packed;
    this.#unsent.set(buffer, (this.#unsent.get(buffer) ?? 0) + 1);
    const before = lane.room;
    lane.room = buffer;
    if (before !== undefined && before !== buffer) this.#giveBack(before);
    return packed;
  }

  #giveBack(room: ArrayBufferLike): void {
    if (this.#unsent.get(room) !== 0 || this.#lanes.some((lane) => lane.room === room)) return;
    this.#unsent.delete(room);
    giveBack(new Uint8Array(room));
  }
}

function throughLane(zstd: Transform, bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zstd.once('error', reject);
    zstd.write(bytes, (error) => {
      zstd.off('error', reject);
      if (error) reject(error);
      else resolve(zstd.read() as Uint8Array);
    });
  });
}

/** In the calling thread, for the simulation. */
export function inlinePacker(bytesMin: number = packedBytesMin): Packer {
  return {
    bytesMin,
    pack: async (bytes) =>
      whenGood(
        zstdCompressSync(bytes, {
          params: level,
          pledgedSrcSize: bytes.byteLength,
          chunkSize: Math.max(4096, bytes.byteLength >> 1),
        }),
        bytes,
      ),
    release: () => {},
  };
}
