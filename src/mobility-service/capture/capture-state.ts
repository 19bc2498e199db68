/**
 * What capture leaves behind for its successor: the change maps of a clean stop, and the counters of the rings that go on
 * recording. With it a restart or an upgrade needs no resync. See `docs/formats/capture-state.md`.
 *
 *     "LWCAPTS1" │ length of the header, u32 │ header, JSON │ extents, u48 first block + u48 blocks each │ SHA-256 of all before
 *
 * A file that was not written to its end, or has a flipped bit, is refused as a whole; the disks are then compared with
 * their copies. While the service runs the file says `clean: false`: after a crash it is proof of an unclean stop.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { blockBytes } from '../../disk/disk.ts';
import { ResyncCause } from '../../model/disk-state.ts';
import { parseJson } from '../../platform/settings.ts';
import { ChangeMap, type Extent } from './change-map.ts';
import { captureErrors } from './errors.ts';

const magic = 'LWCAPTS1';
const digestBytes = 32;
/** Disks beyond 16 TiB have more than 2^32 blocks. */
const numberBytes = 6;
const extentBytes = 2 * numberBytes;
/** 256 Ki extents are 3 MiB in the file and 7 MiB while it is written. What has more is saved less exactly. */
const extentsMax = 1 << 18;
/** The largest file that is read: all extents, and a header of 64 disks. */
export const stateBytesMax = extentsMax * extentBytes + (1 << 20);

const Header = z.strictObject({
  clean: z.boolean(),
  bootId: z.string().min(1).max(100),
  disks: z
    .array(
      z.strictObject({
        path: z.string(),
        deviceNumber: z.number().int().nonnegative(),
        sizeBytes: z.number().int().positive(),
        /** How many of the extents that follow are this disk's. */
        extents: z.number().int().nonnegative(),
        /** Why this disk's map is not to be trusted, if it is not. */
        lost: ResyncCause.optional(),
        /** What the disk is (`model/disk-identity.ts`). Left out by services before it came: such a map is not used. */
        identity: z.string().max(512).optional(),
      }),
    )
    .max(64),
  /** Lost events of all rings together, as the kernel had counted them when the maps were saved. */
  lostEvents: z.number().int().nonnegative(),
});

export interface CaptureState {
  readonly clean: boolean;
  readonly bootId: string;
  readonly lostEvents: number;
  readonly disks: readonly {
    readonly path: string;
    readonly deviceNumber: number;
    readonly sizeBytes: number;
    readonly map: ChangeMap;
    readonly lost?: ResyncCause | undefined;
    readonly identity?: string | undefined;
  }[];
}

export function encodeCaptureState(state: CaptureState): Buffer {
  const extents = state.disks.map((disk) =>
    joined(disk.map.extents(Number.MAX_SAFE_INTEGER), Math.floor(extentsMax / state.disks.length)),
  );
  const header = Buffer.from(
    JSON.stringify({
      clean: state.clean,
      bootId: state.bootId,
      disks: state.disks.map(({ path, deviceNumber, sizeBytes, lost, identity }, index) => ({
        path,
        deviceNumber,
        sizeBytes,
        extents: extents[index]!.length / 2,
        ...(lost ? { lost } : {}),
        ...(identity === undefined ? {} : { identity }),
      })),
      lostEvents: state.lostEvents,
    } satisfies z.infer<typeof Header>),
  );
  const start = magic.length + 4 + header.byteLength;
  const count = extents.reduce((sum, pairs) => sum + pairs.length / 2, 0);
  const content = Buffer.alloc(start + count * extentBytes + digestBytes);
  content.write(magic, 0, 'latin1');
  content.writeUInt32LE(header.byteLength, magic.length);
  header.copy(content, magic.length + 4);
  let at = start;
  for (const pairs of extents)
    for (let index = 0; index < pairs.length; index += 2, at += extentBytes) {
      const first = pairs[index]! / blockBytes;
      content.writeUIntLE(first, at, numberBytes);
      content.writeUIntLE(Math.ceil(pairs[index + 1]! / blockBytes) - first, at + numberBytes, numberBytes);
    }
  digestOf(content).copy(content, content.byteLength - digestBytes);
  return content;
}

/** Throws `CaptureStateInvalid`. */
export function decodeCaptureState(content: Buffer, path: string): CaptureState {
  const invalid = (what: string): Error => captureErrors.CaptureStateInvalid(path, what);
  if (content.byteLength < magic.length + 4 + digestBytes) throw invalid('it is cut off');
  if (content.toString('latin1', 0, magic.length) !== magic)
    throw invalid('it is of another kind or version');
  if (!digestOf(content).equals(content.subarray(-digestBytes))) throw invalid('its digest does not match');
  let at = magic.length + 4 + content.readUInt32LE(magic.length);
  const end = content.byteLength - digestBytes;
  if (at > end) throw invalid('its header is longer than the file');
  const header = parseJson(Header, content.toString('utf8', magic.length + 4, at), path);
  if (at + header.disks.reduce((sum, disk) => sum + disk.extents * extentBytes, 0) !== end)
    throw invalid('its length is wrong');
  const disks = header.disks.map(({ path: disk, deviceNumber, sizeBytes, extents, lost, identity }) => {
    const map = new ChangeMap(sizeBytes);
    for (let index = 0; index < extents; index++, at += extentBytes)
      map.mark(
        content.readUIntLE(at, numberBytes) * blockBytes,
        content.readUIntLE(at + numberBytes, numberBytes) * blockBytes,
      );
    return {
      path: disk,
      deviceNumber,
      sizeBytes,
      map,
      ...(lost ? { lost } : {}),
      ...(identity === undefined ? {} : { identity }),
    };
  });
  return { clean: header.clean, bootId: header.bootId, lostEvents: header.lostEvents, disks };
}

/** Begin and end of each of at most `countMax` extents, or of one: when there are more, neighbours are joined over ever wider
 * gaps. To mark too much costs a read; a file that is too large would cost a comparison of all disks. */
export function joined(extents: Iterable<Extent>, countMax: number): Float64Array {
  const limit = 2 * Math.max(1, countMax);
  let pairs = new Float64Array(Math.min(limit + 2, 256));
  let used = 0;
  let gapBytes = 0;
  const add = (begin: number, end: number): void => {
    if (used > 0 && begin - pairs[used - 1]! <= gapBytes) {
      pairs[used - 1] = end;
      return;
    }
    if (used === pairs.length) {
      const more = new Float64Array(Math.min(limit + 2, used * 2));
      more.set(pairs);
      pairs = more;
    }
    pairs[used] = begin;
    pairs[used + 1] = end;
    used += 2;
  };
  for (const { offsetBytes, lengthBytes } of extents) {
    add(offsetBytes, offsetBytes + lengthBytes);
    while (used > limit) {
      gapBytes = Math.max(blockBytes, gapBytes * 4);
      const count = used;
      used = 0;
      for (let index = 0; index < count; index += 2) add(pairs[index]!, pairs[index + 1]!);
    }
  }
  return pairs.subarray(0, used);
}

function digestOf(content: Buffer): Buffer {
  return createHash('sha256').update(content.subarray(0, -digestBytes)).digest();
}
