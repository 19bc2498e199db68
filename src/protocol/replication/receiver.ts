/**
 * The receiving end of the change stream as a pure state machine: what a hello may say, which frame may follow which, and
 * what the frames make of the disks' states. No sockets, no files, no clock: the process server's intake feeds it frames as
 * they arrive, and its spool feeds it the same frames again from the journal after a restart. Both get the same states:
 * that is why what is acknowledged needs no other record than the journal.
 */

import { z } from 'zod';
import { Bookmark } from '../../model/bookmark.ts';
import { judgeDisk, parseIdentity } from '../../model/disk-identity.ts';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId } from '../../model/ids.ts';
import { ResyncProgress } from '../../model/progress.ts';
import { LeewardError } from '../../platform/errors.ts';
import { parseJson } from '../../platform/settings.ts';
import { type Frame, FrameType } from './frame.ts';
import { Hello, ResyncBegin, ResyncEnd } from './messages.ts';

/** What a receiver knows of a disk. */
export const ReceivedDisk = z.strictObject({
  diskId: ProtectedDiskId,
  sizeBytes: z.number().int().nonnegative(),
  state: DiskState,
  cause: ResyncCause.optional(),
  /** The walk that is open. */
  resync: z.strictObject({ resyncId: z.guid(), kind: z.enum(['initial', 'resync']) }).optional(),
  /** What the disk was when its machine named it last. */
  identity: z.string().max(512).optional(),
});
export type ReceivedDisk = z.infer<typeof ReceivedDisk>;

/** What a frame is, once it has been checked. */
export type Received =
  | { readonly kind: 'data' | 'zero'; readonly diskIndex: number }
  | { readonly kind: 'bookmark'; readonly bookmark: Bookmark }
  | { readonly kind: 'resync-begin'; readonly diskIndex: number; readonly begin: ResyncBegin }
  | { readonly kind: 'resync-end'; readonly diskIndex: number; readonly end: ResyncEnd }
  | { readonly kind: 'progress'; readonly progress: ResyncProgress }
  | { readonly kind: 'health'; readonly event: HealthEvent };

/** How far a session has come at one of the two ends. */
export interface SessionPosition {
  readonly generation: number;
  readonly sequence: number;
}

/**
 * Whether a sender that remembers `previous` goes on from an earlier moment than what is durable at the receiver. Never of
 * an honest one: it had numbered every frame that can have become durable, whatever acknowledgements were lost; and of a
 * session whose welcome it never saw there are no frames. Nor of a reverted one all of whose durable frames were sent
 * before the moment it was reverted to: its maps are then right.
 */
export function isFromPast(
  previous: SessionPosition | undefined,
  received: SessionPosition | undefined,
): boolean {
  if (!previous || !received) return false;
  if (previous.generation !== received.generation) return previous.generation < received.generation;
  return previous.sequence < received.sequence;
}

export function parseHello(frame: Frame): Hello {
  if (frame.type !== FrameType.hello) throw violation('the first frame was not a hello');
  return parseJson(Hello, Buffer.from(frame.payload).toString(), 'the hello');
}

export class Receiver {
  readonly hello: Hello;
  readonly #disks: ReceivedDisk[];
  #sequence: number;

  /**
   * @param known the disks before this session
   * @param firstSequence 1 for a live session; a journal part goes on where the one before it ended
   */
  constructor(hello: Hello, known: readonly ReceivedDisk[], firstSequence = 1) {
    this.hello = hello;
    this.#sequence = firstSequence - 1;
    this.#disks = hello.disks.map((disk) =>
      welcomed(
        disk,
        known.find(({ diskId }) => diskId === disk.diskId),
      ),
    );
  }

  /** In the order of the hello. */
  get disks(): readonly ReceivedDisk[] {
    return this.#disks;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Checks a frame against everything before it and takes it in. Throws `ProtocolViolated`. */
  accept(frame: Frame): Received {
    if (frame.generation !== this.hello.generation)
      throw violation(`a frame of generation ${frame.generation} in a session of ${this.hello.generation}`);
    if (frame.sequence !== this.#sequence + 1)
      throw violation(`frame ${frame.sequence} came after ${this.#sequence}`);
    const received = this.#take(frame);
    this.#sequence = frame.sequence;
    return received;
  }

  #take(frame: Frame): Received {
    const text = () => Buffer.from(frame.payload).toString();
    switch (frame.type) {
      case FrameType.data:
      case FrameType.zero: {
        const disk = this.#disks[frame.diskIndex];
        if (!disk) throw violation(`disk ${frame.diskIndex} was not in the hello`);
        if (this.#isMissing(disk.diskId)) throw violation(`content of disk ${disk.diskId}, which is missing`);
        if (frame.lengthBytes <= 0 || frame.offsetBytes + frame.lengthBytes > disk.sizeBytes)
          throw violation(
            `${frame.lengthBytes} bytes at ${frame.offsetBytes} of a disk of ${disk.sizeBytes} bytes`,
          );
        return { kind: frame.type === FrameType.data ? 'data' : 'zero', diskIndex: frame.diskIndex };
      }
      case FrameType.bookmark: {
        const bookmark = parseJson(Bookmark, text(), 'a bookmark');
        this.#checkBookmark(bookmark);
        return { kind: 'bookmark', bookmark };
      }
      case FrameType.resyncBegin: {
        const begin = parseJson(ResyncBegin, text(), 'a resync-begin');
        const diskIndex = this.#indexOf(begin.diskId);
        const disk = this.#disks[diskIndex]!;
        if (this.#isMissing(disk.diskId)) throw violation(`a walk of disk ${disk.diskId}, which is missing`);
        if (begin.sizeBytes !== disk.sizeBytes)
          throw violation('a resync of another size than the hello says');
        // An initial walk tells the other side that it is empty; on a disk that has content it would leave old bytes.
        if (begin.kind === 'initial' && disk.state !== 'empty' && disk.state !== 'initial')
          throw violation(`an initial replication of a disk that is ${disk.state}`);
        if (begin.fromBytes > 0 && disk.resync?.kind !== begin.kind)
          throw violation('a walk that goes on where none was broken off');
        this.#disks[diskIndex] = {
          diskId: disk.diskId,
          sizeBytes: disk.sizeBytes,
          state: begin.kind === 'initial' ? 'initial' : 'resync',
          cause: begin.cause,
          resync: { resyncId: begin.resyncId, kind: begin.kind },
          ...identityOf(disk),
        };
        return { kind: 'resync-begin', diskIndex, begin };
      }
      case FrameType.resyncEnd: {
        const end = parseJson(ResyncEnd, text(), 'a resync-end');
        const diskIndex = this.#indexOf(end.diskId);
        const disk = this.#disks[diskIndex]!;
        if (disk.resync?.resyncId !== end.resyncId) throw violation('the end of a walk that is not open');
        this.#disks[diskIndex] = {
          diskId: disk.diskId,
          sizeBytes: disk.sizeBytes,
          state: 'in-sync',
          ...identityOf(disk),
        };
        return { kind: 'resync-end', diskIndex, end };
      }
      case FrameType.progress:
        return { kind: 'progress', progress: parseJson(ResyncProgress, text(), 'a progress') };
      case FrameType.health:
        return { kind: 'health', event: parseJson(HealthEvent, text(), 'a health event') };
      default:
        throw violation(`a frame of type ${frame.type} from a sender`);
    }
  }

  /** Every disk is in sync, or the bookmark says that its state is not in it; of one at least it has the state. */
  #checkBookmark({ missingDisks = [] }: Bookmark): void {
    const without = new Set<string>(missingDisks.map(({ diskId }) => diskId));
    for (const diskId of without) this.#indexOf(diskId as ProtectedDiskId);
    if (without.size !== missingDisks.length) throw violation('a bookmark that names a missing disk twice');
    if (without.size === this.#disks.length) throw violation('a bookmark of no disk at all');
    for (const { diskId, state } of this.#disks) {
      if (without.has(diskId)) continue;
      if (state !== 'in-sync') throw violation(`a bookmark while disk ${diskId} is ${state}`);
      if (this.#isMissing(diskId)) throw violation(`a bookmark with disk ${diskId}, which is missing`);
    }
  }

  #isMissing(diskId: ProtectedDiskId): boolean {
    return this.hello.disks.some((disk) => disk.diskId === diskId && disk.isMissing === true);
  }

  #indexOf(diskId: ProtectedDiskId): number {
    const index = this.#disks.findIndex((disk) => disk.diskId === diskId);
    if (index < 0) throw violation(`disk ${diskId} was not in the hello`);
    return index;
  }
}

/** What a hello makes of a disk that is known. */
function welcomed(
  { diskId, sizeBytes, identity, isMissing }: Hello['disks'][number],
  before: ReceivedDisk | undefined,
): ReceivedDisk {
  // Of a disk that is not there nothing is said but that; what is known of it stays.
  if (isMissing) return before ?? { diskId, sizeBytes, state: 'empty' };
  const named = identity === undefined ? {} : { identity };
  if (!before) return { diskId, sizeBytes, state: 'empty', ...named };
  // Nothing that was compared at another size counts. 0: not known, after a lost state.
  if (before.sizeBytes !== sizeBytes && before.sizeBytes !== 0 && before.state !== 'empty')
    return { diskId, sizeBytes, state: 'resync', cause: 'DiskResized', ...named };
  // Nor what was sent of another disk, or before this one was away. The sender compares by itself then; if it does not, it
  // has not noticed.
  const cause = before.state === 'in-sync' ? causeOfChange(before.identity, identity) : undefined;
  if (cause !== undefined) return { diskId, sizeBytes, state: 'resync', cause, ...named };
  return { ...before, sizeBytes, ...named };
}

function causeOfChange(before: string | undefined, now: string | undefined): ResyncCause | undefined {
  if (before === undefined || now === undefined || before === now) return undefined;
  const [old, young] = [parseIdentity(before), parseIdentity(now)];
  if (!old || !young) return undefined;
  const judgement = judgeDisk(old, young);
  if (judgement === 'unbroken') return undefined;
  if (judgement === 'different') return 'DiskReplaced';
  return old.bootId === young.bootId ? 'DiskReturned' : 'MachineRebooted';
}

function identityOf({ identity }: ReceivedDisk): { identity?: string } {
  return identity === undefined ? {} : { identity };
}

function violation(why: string): LeewardError {
  return new LeewardError({
    code: 'ProtocolViolated',
    summary: `the sender did what the protocol forbids: ${why}`,
    possibleCauses: 'A defect of the mobility service, or of the process server.',
    recommendedAction: 'Report it with both logs. The connection is made anew meanwhile.',
    retry: 'transient',
  });
}
