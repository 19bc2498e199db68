/**
 * What the service must not forget: the generation of its last session, and which disks must be compared with their
 * copies before they are trusted again, and what each of them was when it was seen last. Change maps are capture's own file.
 *
 * A generation is made durable before the hello that carries it. A service without a state file (installed anew) begins
 * at the milliseconds of the clock: above everything that an earlier installation can have counted up to, since no
 * session takes less. (Seconds were not enough: two short sessions within one outnumbered the new installation.)
 */
import { join } from 'node:path';
import { z } from 'zod';
import { ResyncCause } from '../../model/disk-state.ts';
import type { ProtectedDiskId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import { parseJson } from '../../platform/settings.ts';

const Content = z.strictObject({
  format: z.literal('leeward-mobility-state/1'),
  generation: z.number().int().nonnegative(),
  bootId: z.string(),
  /** By disk id. */
  untrusted: z.record(z.string(), ResyncCause),
  /** The last session that was welcomed, and how many frames were numbered in it: what a hello says of it. Exact after a
   * clean stop; after any other the disks are not trusted, and the hello leaves it out. */
  previous: z
    .strictObject({ generation: z.number().int().nonnegative(), sequence: z.number().int().nonnegative() })
    .optional(),
  /** By disk id: what each disk was when it was seen last (`model/disk-identity.ts`). Came within version 1. */
  disks: z
    .record(
      z.string(),
      z.strictObject({
        identity: z.string().max(512),
        sizeBytes: z.number().int().positive(),
        name: z.string(),
      }),
    )
    .optional(),
});
type Content = z.infer<typeof Content>;

/** 64 disks of 700 bytes each are 44 KiB. */
const stateBytesMax = 128 << 10;

export type KnownDisk = NonNullable<Content['disks']>[string];

const isOfAnotherAttachment = (cause: ResyncCause | undefined): boolean =>
  cause === 'DiskReturned' || cause === 'DiskReplaced';

export class ServiceState {
  readonly #files: Files;
  readonly #path: string;
  #content: Content;

  static async load(files: Files, folder: string, clock: Clock, bootId: string): Promise<ServiceState> {
    await files.makeFolder(folder);
    const path = join(folder, 'state.json');
    const bytes = await readWhole(files, path, stateBytesMax);
    const content: Content = bytes
      ? parseJson(Content, bytes.toString(), path)
      : {
          format: 'leeward-mobility-state/1',
          generation: Math.max(0, Math.floor(clock.now())),
          bootId,
          untrusted: {},
        };
    return new ServiceState(files, path, { ...content, bootId });
  }

  private constructor(files: Files, path: string, content: Content) {
    this.#files = files;
    this.#path = path;
    this.#content = content;
  }

  get generation(): number {
    return this.#content.generation;
  }
  get bootId(): string {
    return this.#content.bootId;
  }

  get previous(): Content['previous'] {
    return this.#content.previous;
  }

  /** A session is over. Durable with the next write: with the next generation, or with `save` at a clean stop. */
  ended(previous: NonNullable<Content['previous']>): void {
    this.#content = { ...this.#content, previous };
  }

  async save(): Promise<void> {
    await this.#write(this.#content);
  }

  /** The receiver has seen a future of this machine that was undone. In one write, so that no crash leaves half of it. */
  async reverted(
    diskIds: readonly ProtectedDiskId[],
    position: { readonly highestGeneration: number; readonly previous: NonNullable<Content['previous']> },
  ): Promise<void> {
    const untrusted = { ...this.#content.untrusted };
    for (const diskId of diskIds) untrusted[diskId] ??= 'MachineReverted';
    const generation = Math.max(this.#content.generation, position.highestGeneration);
    await this.#write({ ...this.#content, untrusted, generation, previous: position.previous });
  }

  untrustedCause(diskId: ProtectedDiskId): ResyncCause | undefined {
    return this.#content.untrusted[diskId];
  }

  /** What a disk was when it was seen last; undefined: never seen. */
  knownDisk(diskId: ProtectedDiskId): KnownDisk | undefined {
    return this.#content.disks?.[diskId];
  }

  /** What disks are from now on, and which of them must therefore be compared: in one write, so that no crash leaves a disk
   * that is taken for another one and trusted. */
  async sawDisks(
    seen: readonly {
      readonly diskId: ProtectedDiskId;
      readonly disk: KnownDisk;
      readonly cause?: ResyncCause;
    }[],
  ): Promise<void> {
    const untrusted = { ...this.#content.untrusted };
    const disks = { ...this.#content.disks };
    for (const { diskId, disk, cause } of seen) {
      if (cause !== undefined && !isOfAnotherAttachment(untrusted[diskId])) untrusted[diskId] = cause;
      disks[diskId] = disk;
    }
    const content = { ...this.#content, untrusted, disks };
    if (JSON.stringify(content) !== JSON.stringify(this.#content)) await this.#write(content);
  }

  /** Durable when it resolves. */
  async nextGeneration(): Promise<number> {
    await this.#write({ ...this.#content, generation: this.#content.generation + 1 });
    return this.#content.generation;
  }

  /** The first cause stays, since it is the one that explains; but a disk that was away is that, whatever was before: points
   * do not wait for its comparison. */
  async distrust(diskId: ProtectedDiskId, cause: ResyncCause): Promise<void> {
    const before = this.#content.untrusted[diskId];
    if (before && (!isOfAnotherAttachment(cause) || isOfAnotherAttachment(before))) return;
    await this.#write({ ...this.#content, untrusted: { ...this.#content.untrusted, [diskId]: cause } });
  }

  async trust(diskId: ProtectedDiskId): Promise<void> {
    if (!this.#content.untrusted[diskId]) return;
    const { [diskId]: _, ...untrusted } = this.#content.untrusted;
    await this.#write({ ...this.#content, untrusted });
  }

  async #write(content: Content): Promise<void> {
    this.#content = content;
    await writeDurably(this.#files, this.#path, Buffer.from(`${JSON.stringify(content)}\n`));
  }
}
