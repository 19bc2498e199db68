/**
 * The spool of one protected item: where frames become durable before they are acknowledged, and where segments and
 * manifests wait until cache storage has confirmed them. `docs/formats/spool.md` is the specification.
 *
 *     <spool>/<itemId>/
 *       state.json                what no journal says: highest generation, chain and its tip, disks at the tip
 *       journal/<part>.journal    a hello, then frames exactly as they came; each part belongs to one session
 *       outgoing/<chain>-<sequence>.json          a refined manifest, its segments' files, and the state after it
 *       outgoing/<chain>-<sequence>-<disk>.seg
 *
 * Why it recovers after kill -9 or power loss at any instruction:
 *
 * 1. *Generation.* It is in state.json (replaced whole, by rename) before the welcome goes out. A session that was
 *    welcomed is thus never forgotten, and an older one can never be welcomed after it.
 * 2. *Acknowledged frames* are in a part whose file was synced after the write, in a folder that was synced after the file
 *    was made. What a crash tears is behind the last sync, so it was not acknowledged: the tail is cut at the first frame
 *    that does not check, and its sender has those ranges in its map again.
 * 3. *Disk states* are a fold: states at the tip (state.json), then every frame of the parts that are left, in order. The
 *    live receiver and recovery fold with the same code (`receiver.ts`), so both know the same.
 * 4. *Refining a part* commits with one rename: the record in outgoing/. Before it, segments without a record are rubbish,
 *    removed at start, and the part is refined again, under new salts: nobody saw the first ones. After it, the record
 *    holds the new state and the number of the part; recovery takes the newest record's state over an older state.json and
 *    removes the parts it covers. So no part is refined twice into the chain and none is left out.
 * 5. *Uploading* begins only when state.json has the new tip, and a record goes only after the store has confirmed its
 *    manifest: what is gone from outgoing/ is at or before the tip. Uploading again what is already there is `present`.
 */
import { z } from 'zod';
import { ProtectedItemId } from '../../model/ids.ts';
import { machineIdentityLengthMax } from '../../model/machine-identity.ts';
import { hasCode } from '../../platform/errors.ts';
import { type Files, type OpenFile, readWhole, writeDurably } from '../../platform/files.ts';
import { parseJson } from '../../platform/settings.ts';
import { Manifest } from '../../protocol/cache/manifest.ts';
import {
  encodeFrame,
  type Frame,
  FrameSplitter,
  FrameType,
  jsonFrame,
} from '../../protocol/replication/frame.ts';
import type { Hello } from '../../protocol/replication/messages.ts';
import { parseHello, ReceivedDisk, Receiver } from '../../protocol/replication/receiver.ts';
import { processServerErrors } from '../errors.ts';
import type { SpoolSpace } from './space.ts';

const whole = z.number().int().nonnegative();

export const SpoolState = z.strictObject({
  format: z.literal('leeward-spool/1'),
  itemId: ProtectedItemId,
  highestGeneration: whole,
  /** Null: the next session's generation starts a chain. */
  chain: whole.nullable(),
  tip: z.strictObject({ sequence: whole, digest: z.string().nullable() }),
  refinedThroughPart: whole,
  disks: z.array(ReceivedDisk),
  /** The newest session of which frames are durable, and the last of them: behind it comes only who was reverted. */
  received: z.strictObject({ generation: whole, sequence: whole }).optional(),
  /** What the machine of the newest session is. */
  machineIdentity: z.string().max(machineIdentityLengthMax).optional(),
});
export type SpoolState = z.infer<typeof SpoolState>;

export const OutgoingRecord = z.strictObject({
  format: z.literal('leeward-outgoing/1'),
  /** The manifest object, whole. */
  object: z.string(),
  manifest: Manifest,
  manifestKey: z.string(),
  /** In the order of the manifest's segments. */
  segmentFiles: z.array(z.string()),
  bytes: whole,
  stateAfter: SpoolState,
});
export type OutgoingRecord = z.infer<typeof OutgoingRecord>;

export interface ClosedPart {
  readonly number: number;
  readonly path: string;
  readonly sizeBytes: number;
}

const pad = (count: number) => String(count).padStart(16, '0');
/** One read of a journal; parts are read whole by refine and in such pieces at start. */
const scanBytes = 1 << 20;
/** A record repeats its manifest (at most 1 MiB) twice and holds the state. */
const recordBytesMax = 8 << 20;

export class ItemSpool {
  readonly itemId: ProtectedItemId;
  readonly #files: Files;
  readonly #folder: string;
  readonly #space: SpoolSpace;
  readonly #partBytesMax: number;
  readonly #partFramesMax: number;
  #state!: SpoolState;
  /** True until `adoptChain`: there was no state, so cache storage must be asked whether there ever was one. */
  isStateMissing = false;
  /** Disks after everything in the journal. */
  #view: readonly ReceivedDisk[] = [];
  /** After everything in the journal. */
  #received: SpoolState['received'];
  #closed: ClosedPart[] = [];
  #records: string[] = [];
  #open:
    | {
        number: number;
        path: string;
        file: OpenFile;
        durableBytes: number;
        frames: number;
        sinceMilliseconds: number;
      }
    | undefined;
  #nextPart = 1;
  /** Part that must be cut to this length before anything else: a write or sync of it failed. */
  #cut: { path: string; toBytes: number } | undefined;
  /** Writers take turns: the session's flusher, the timer that closes parts, refine's commit. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: {
    readonly files: Files;
    readonly folder: string;
    readonly itemId: ProtectedItemId;
    readonly space: SpoolSpace;
    readonly partBytesMax: number;
    /** Default: as many as its bytes allow. */
    readonly partFramesMax?: number;
  }) {
    this.#files = parts.files;
    this.#folder = parts.folder;
    this.itemId = parts.itemId;
    this.#space = parts.space;
    this.#partBytesMax = parts.partBytesMax;
    this.#partFramesMax = parts.partFramesMax ?? Number.POSITIVE_INFINITY;
  }

  get state(): SpoolState {
    return this.#state;
  }
  get disks(): readonly ReceivedDisk[] {
    return this.#view;
  }
  /** The newest session of which frames are durable here, and the last of them. */
  get received(): SpoolState['received'] {
    return this.#received;
  }
  get closedParts(): readonly ClosedPart[] {
    return this.#closed;
  }
  /** File names of records that wait for cache storage, oldest first. */
  get outgoing(): readonly string[] {
    return this.#records;
  }
  get outgoingFolder(): string {
    return `${this.#folder}/outgoing`;
  }
  /** The part that is being written: when its first frame came, and how much of it is durable. */
  get openPart(): { readonly sinceMilliseconds: number; readonly sizeBytes: number } | undefined {
    return (
      this.#open && { sinceMilliseconds: this.#open.sinceMilliseconds, sizeBytes: this.#open.durableBytes }
    );
  }
  get backlogBytes(): number {
    return this.#space.usedBy(this.itemId);
  }

  /** Reads what is there and mends what a crash left. Throws `SpoolDamaged` when acknowledged data are missing. */
  async recover(): Promise<void> {
    for (const folder of [this.#folder, `${this.#folder}/journal`, this.outgoingFolder]) {
      await this.#files.makeFolder(folder);
      // What was renamed just before a kill is seen but perhaps not durable, and below things are removed because of it.
      await this.#files.syncDirectory(folder);
    }
    this.#space.charge(this.itemId, -this.#space.usedBy(this.itemId));
    await this.#recoverState();
    await this.#recoverOutgoing();
    await this.#recoverJournal();
  }

  async #recoverState(): Promise<void> {
    const text = await readWhole(this.#files, `${this.#folder}/state.json`);
    let state: SpoolState | undefined;
    if (text !== undefined)
      try {
        state = parseJson(SpoolState, text.toString(), 'state.json');
      } catch {
        // It is replaced whole, so this is damage, not a crash. As good as lost.
        state = undefined;
      }
    this.isStateMissing = state === undefined;
    this.#state = state ?? this.#emptyState(0);
  }

  #emptyState(highestGeneration: number): SpoolState {
    return {
      format: 'leeward-spool/1',
      itemId: this.itemId,
      highestGeneration,
      chain: null,
      tip: { sequence: 0, digest: null },
      refinedThroughPart: 0,
      disks: [],
    };
  }

  /** A record may be of before the session that said it. */
  #withMachine(state: SpoolState): SpoolState {
    const { machineIdentity = state.machineIdentity } = this.#state;
    return machineIdentity === undefined ? state : { ...state, machineIdentity };
  }

  async #recoverOutgoing(): Promise<void> {
    const names = await this.#files.list(this.outgoingFolder);
    const found = this.#state;
    this.#records = names.filter((name) => name.endsWith('.json'));
    const needed = new Set(this.#records);
    for (const name of this.#records) {
      const record = await this.readRecord(name);
      for (const file of record.segmentFiles) needed.add(file);
      this.#space.charge(this.itemId, record.bytes);
      const after = record.stateAfter;
      const highestGeneration = Math.max(this.#state.highestGeneration, after.highestGeneration);
      const isNewer =
        !this.isStateMissing &&
        (this.#state.chain === null || (after.chain ?? 0) === this.#state.chain) &&
        after.refinedThroughPart > this.#state.refinedThroughPart;
      if (isNewer) this.#state = this.#withMachine({ ...after, highestGeneration });
      else if (highestGeneration !== this.#state.highestGeneration)
        this.#state = { ...this.#state, highestGeneration };
    }
    for (const name of names)
      if (!needed.has(name)) await this.#files.remove(`${this.outgoingFolder}/${name}`);
    // Before the record can be uploaded and go: it would be the only one that knows the new tip.
    if (this.#state !== found && !this.isStateMissing) await this.#writeState(this.#state);
  }

  async #recoverJournal(): Promise<void> {
    const folder = `${this.#folder}/journal`;
    this.#open = undefined;
    this.#cut = undefined;
    this.#closed = [];
    this.#view = this.#state.disks;
    this.#received = this.#state.received;
    this.#nextPart = this.#state.refinedThroughPart + 1;
    const names = (await this.#files.list(folder)).filter((name) => name.endsWith('.journal'));
    if (this.isStateMissing && names.length > 0) return; // `adoptChain` clears it.
    const parts = names.map((name) => Number(name.slice(0, 16)));
    let receiver: Receiver | undefined;
    for (const [index, number] of parts.entries()) {
      const path = `${folder}/${pad(number)}.journal`;
      if (number <= this.#state.refinedThroughPart) {
        await this.#files.remove(path);
        continue;
      }
      if (number !== this.#nextPart)
        throw processServerErrors.SpoolDamaged(`journal part ${this.#nextPart} is missing`);
      const isLast = index === parts.length - 1;
      const scanned = await this.#scan(path, receiver);
      if (scanned.isTorn && !isLast)
        throw processServerErrors.SpoolDamaged(
          `journal part ${number} does not check at ${scanned.goodBytes}`,
        );
      if (scanned.frames === 0 && isLast) {
        // Not one whole frame: nothing in it was acknowledged.
        await this.#files.remove(path);
        continue;
      }
      if (isLast) {
        // What a killed process wrote and did not sync is whole in memory only. It counts from here on, and another part
        // will follow it: a power loss must then not find it torn.
        await using file = await this.#files.open(path, 'write');
        if (scanned.isTorn) await file.truncate(scanned.goodBytes);
        await file.sync();
      }
      receiver = scanned.receiver;
      this.#closed.push({ number, path, sizeBytes: scanned.goodBytes });
      this.#space.charge(this.itemId, scanned.goodBytes);
      this.#nextPart = number + 1;
    }
    if (!receiver) return;
    this.#view = receiver.disks;
    this.#received = { generation: receiver.hello.generation, sequence: receiver.sequence };
  }

  async #scan(
    path: string,
    before: Receiver | undefined,
  ): Promise<{ receiver: Receiver | undefined; goodBytes: number; frames: number; isTorn: boolean }> {
    await using file = await this.#files.open(path, 'read');
    const splitter = new FrameSplitter();
    const chunk = Buffer.allocUnsafe(scanBytes);
    let receiver: Receiver | undefined;
    let goodBytes = 0;
    let frames = 0;
    try {
      for (let positionBytes = 0; ; ) {
        const count = await file.read(chunk, positionBytes);
        if (count === 0) break;
        positionBytes += count;
        for (const frame of splitter.push(Buffer.from(chunk.subarray(0, count)))) {
          if (receiver) {
            receiver.accept(frame);
            frames++;
          } else receiver = startPart(frame, before, this.#view);
          goodBytes += 64 + frame.payload.byteLength;
        }
      }
    } catch (error) {
      if (!hasCode(error, 'CorruptFrame', 'ProtocolViolated', 'InvalidInput')) throw error;
      return { receiver, goodBytes, frames, isTorn: true };
    }
    return { receiver, goodBytes, frames, isTorn: splitter.isInsideFrame };
  }

  /**
   * The state is gone or cannot be believed any more: begins anew. `disks` are what the vault may have; the next session's
   * generation starts the chain. The old journal goes: its acknowledged frames may be incomplete, and its disks are
   * compared again anyway. What is in outgoing/ belongs to the old chain, is whole, and is still uploaded.
   */
  async beginAnew(highestGeneration: number, disks: readonly ReceivedDisk[]): Promise<void> {
    await this.#inTurn(async () => {
      await this.#open?.file.close();
      this.#open = undefined;
      const folder = `${this.#folder}/journal`;
      const names = await this.#files.list(folder);
      const last = Math.max(
        this.#state.refinedThroughPart,
        ...names.map((name) => Number(name.slice(0, 16)) || 0),
      );
      await this.#writeState({
        ...this.#emptyState(Math.max(highestGeneration, this.#state.highestGeneration)),
        refinedThroughPart: last,
        disks: [...disks],
        ...(this.#received ? { received: this.#received } : {}),
        ...(this.#state.machineIdentity === undefined
          ? {}
          : { machineIdentity: this.#state.machineIdentity }),
      });
      this.isStateMissing = false;
      for (const part of this.#closed) this.#space.charge(this.itemId, -part.sizeBytes);
      for (const name of names) await this.#files.remove(`${folder}/${name}`);
      this.#closed = [];
      this.#cut = undefined;
      this.#nextPart = last + 1;
      this.#view = disks;
    });
  }

  /** Makes the generation durable: from here on no session of an older one is accepted. */
  async acceptGeneration(generation: number, machineIdentity?: string): Promise<void> {
    await this.#inTurn(async () => {
      if (generation <= this.#state.highestGeneration)
        throw processServerErrors.OldGeneration(this.itemId, generation, this.#state.highestGeneration);
      await this.#writeState({
        ...this.#state,
        highestGeneration: generation,
        chain: this.#state.chain ?? generation,
        ...(machineIdentity === undefined ? {} : { machineIdentity }),
      });
      await this.#closePart();
    });
  }

  /**
   * Writes whole frames and makes them durable. When it rejects, none of them counts: they are cut off again before the
   * next write. `check` is called in turn, just before the write: a session that was fenced meanwhile throws there.
   */
  async append(
    bytes: Uint8Array,
    hello: Hello,
    disksAfter: readonly ReceivedDisk[],
    options: {
      readonly closeAfter: boolean;
      readonly lastSequence?: number;
      /** How many frames these are; default: one. */
      readonly frames?: number;
      readonly nowMilliseconds: number;
      readonly check: () => void;
    },
  ): Promise<void> {
    await this.#inTurn(async () => {
      options.check();
      if (hello.generation !== this.#state.highestGeneration)
        throw processServerErrors.SessionFenced(this.itemId, this.#state.highestGeneration);
      await this.#mend();
      const frames = options.frames ?? 1;
      if (
        this.#open &&
        (this.#open.durableBytes + bytes.byteLength > this.#partBytesMax ||
          this.#open.frames + frames > this.#partFramesMax)
      )
        await this.#closePart();
      const part = this.#open ?? (await this.#openPart(hello, options.nowMilliseconds));
      try {
        await part.file.write(bytes, part.durableBytes);
        await part.file.sync();
      } catch (error) {
        // After a failed sync nobody knows what is on the disk, and another sync may say yes to what was lost.
        this.#cut = { path: part.path, toBytes: part.durableBytes };
        throw error;
      }
      part.durableBytes += bytes.byteLength;
      part.frames += frames;
      this.#space.charge(this.itemId, bytes.byteLength);
      this.#view = [...disksAfter];
      if (options.lastSequence !== undefined)
        this.#received = { generation: hello.generation, sequence: options.lastSequence };
      if (options.closeAfter) await this.#closePart();
    });
  }

  /** Closes the part that is being written, if there is one, so that refine takes it. */
  async closeOpenPart(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#mend();
      await this.#closePart();
    });
  }

  /** Takes back a record whose commit failed half way: the part is refined anew under the same name. */
  async retract(name: string): Promise<void> {
    if ((await this.#files.sizeBytes(`${this.outgoingFolder}/${name}`)) === undefined) return;
    await this.#files.remove(`${this.outgoingFolder}/${name}`);
    await this.#files.syncDirectory(this.outgoingFolder);
  }

  /** Commits a refined part. Its segment files are written and synced. */
  async commit(part: ClosedPart, name: string, record: OutgoingRecord): Promise<void> {
    await this.#inTurn(async () => {
      const highestGeneration = Math.max(this.#state.highestGeneration, record.stateAfter.highestGeneration);
      // The segments' names first: a record must never be there without them.
      await this.#files.syncDirectory(this.outgoingFolder);
      await writeDurably(
        this.#files,
        `${this.outgoingFolder}/${name}`,
        Buffer.from(JSON.stringify(OutgoingRecord.parse(record))),
      );
      await this.#writeState(this.#withMachine({ ...record.stateAfter, highestGeneration }));
      this.#space.charge(this.itemId, record.bytes);
      this.#records.push(name);
      this.#closed = this.#closed.filter((other) => other !== part);
      this.#space.charge(this.itemId, -part.sizeBytes);
      // Last: when this fails, the next start removes it.
      await this.#files.remove(part.path);
    });
  }

  async readRecord(name: string): Promise<OutgoingRecord> {
    const text = await readWhole(this.#files, `${this.outgoingFolder}/${name}`, recordBytesMax);
    if (text === undefined) throw processServerErrors.SpoolDamaged(`${name} is missing`);
    return parseJson(OutgoingRecord, text.toString(), name);
  }

  /** The store has confirmed the manifest: its files go. */
  async confirmed(name: string, record: OutgoingRecord): Promise<void> {
    await this.#files.remove(`${this.outgoingFolder}/${name}`);
    // Durably, before its segments go: a record that came back after a power loss would name what is not there.
    await this.#files.syncDirectory(this.outgoingFolder);
    for (const file of record.segmentFiles) await this.#files.remove(`${this.outgoingFolder}/${file}`);
    this.#records = this.#records.filter((other) => other !== name);
    this.#space.charge(this.itemId, -record.bytes);
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#closePart());
  }

  async #openPart(hello: Hello, nowMilliseconds: number) {
    const number = this.#nextPart;
    const path = `${this.#folder}/journal/${pad(number)}.journal`;
    const head = encodeFrame(jsonFrame(FrameType.hello, hello, { generation: hello.generation }));
    // A part of this number can only be the remains of a try that failed.
    await this.#files.remove(path);
    const file = await this.#files.open(path, 'exclusive');
    try {
      await file.write(head, 0);
      await this.#files.syncDirectory(`${this.#folder}/journal`);
    } catch (error) {
      await file.close();
      await this.#files.remove(path);
      throw error;
    }
    this.#nextPart = number + 1;
    // The head is synced together with the first frames.
    this.#open = {
      ...{ number, path, file, frames: 0 },
      ...{ durableBytes: head.byteLength, sinceMilliseconds: nowMilliseconds },
    };
    this.#space.charge(this.itemId, head.byteLength);
    return this.#open;
  }

  async #closePart(): Promise<void> {
    const part = this.#open;
    if (!part) return;
    await this.#mend();
    this.#open = undefined;
    await part.file.close();
    this.#closed.push({ number: part.number, path: part.path, sizeBytes: part.durableBytes });
  }

  /** Cuts off what a failed write left. Until that succeeds nothing more is written. */
  async #mend(): Promise<void> {
    if (!this.#cut || !this.#open) return;
    await this.#open.file.truncate(this.#cut.toBytes);
    await this.#open.file.sync();
    this.#cut = undefined;
  }

  async #writeState(state: SpoolState): Promise<void> {
    await writeDurably(this.#files, `${this.#folder}/state.json`, Buffer.from(JSON.stringify(state)));
    this.#state = state;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {}); // The caller sees it; the next in turn must not.
    return result;
  }
}

/** The receiver that a part begins with: of the same session it goes on, of another one it starts from the known disks. */
export function startPart(
  head: Frame,
  before: Receiver | undefined,
  known: readonly ReceivedDisk[],
): Receiver {
  const hello = parseHello(head);
  if (before && before.hello.sessionId === hello.sessionId)
    return new Receiver(hello, before.disks, before.sequence + 1);
  return new PartReceiver(hello, before?.disks ?? known);
}

/** A part may begin in the middle of a session whose earlier parts are refined and gone: its first number counts. */
class PartReceiver extends Receiver {
  #started = false;
  #inner: Receiver | undefined;
  override get disks() {
    return this.#inner?.disks ?? super.disks;
  }
  override get sequence() {
    return this.#inner?.sequence ?? super.sequence;
  }
  override accept(frame: Frame) {
    if (!this.#started) {
      this.#started = true;
      this.#inner = new Receiver(this.hello, super.disks, frame.sequence);
    }
    return this.#inner!.accept(frame);
  }
}
