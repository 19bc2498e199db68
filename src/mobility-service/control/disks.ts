/**
 * The disks of an assignment, opened as far as the machine has them: which disk is which (`capture/find-disks.ts`), what that
 * means for its copy, and what a person is told. One disk that is missing or cannot be opened does not keep the others from
 * being replicated.
 *
 *     as it was, attached all the time   its saved map holds
 *     the same, but it was away          compared (DiskReturned); points are without it until that is done
 *     another one in its place           compared (DiskReplaced); the event names both
 *     not there, or not to be opened     points are without it; looked for every two seconds
 *
 * Only at the first start of all, and for what can never be protected, is the assignment refused as a whole: then somebody has
 * misspelt it, and is waiting to be told.
 */
import { openDevice } from '../../disk/device.ts';
import { blockBytes, type Disk } from '../../disk/disk.ts';
import { describeIdentity, identityText, parseIdentity } from '../../model/disk-identity.ts';
import type { ResyncCause } from '../../model/disk-state.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { MobilityAssignment } from '../../protocol/control/assignment.ts';
import type { Capture, CaptureLoss } from '../capture/capture.ts';
import { ChangeMap } from '../capture/change-map.ts';
import { claimDisk } from '../capture/claim.ts';
import { captureErrors } from '../capture/errors.ts';
import { findDisks, fingerprint, isDetaching, type LocatedDisk, lookAt } from '../capture/find-disks.ts';
import { inTime } from '../capture/in-time.ts';
import { hasOtherPaths, inspectDisk, type WholeDisk } from '../capture/inspect.ts';
import type { CapturedDisk } from '../capture/trace-capture.ts';
import { AnsweringDisk, missingDisk, ReadThreads } from '../drain/answering-disk.ts';
import { errors } from '../errors.ts';
import { missingDiskLookMilliseconds, readRetryMilliseconds } from '../limits.ts';
import type { ReplicationOptions } from './replication.ts';
import type { KnownDisk, ServiceState } from './state.ts';

type DisksAssignment = Pick<MobilityAssignment, 'disks'>;

export interface OpenedDisk {
  readonly disk: ReplicationOptions['disks'][number];
  readonly captured: CapturedDisk;
  /** Undefined: it is not there, or cannot be opened. */
  readonly whole: WholeDisk | undefined;
  readonly located: LocatedDisk | undefined;
  /** What a person should know of it. */
  readonly events: readonly LeewardError[];
}

/** How the machine's disks are found and opened. */
export interface DiskAccess {
  /** In the order of `assigned`; undefined: the machine has no such disk. */
  find(
    assigned: readonly { readonly path: string; readonly identity: string | undefined }[],
  ): Promise<(LocatedDisk | undefined)[]>;
  /** Throws why it cannot be replicated now, or never. */
  open(
    path: string,
    devices: AsyncDisposableStack,
  ): Promise<{ readonly disk: Disk; readonly whole: WholeDisk }>;
  /** Whether it is still what it is now: see `CapturedDisk.look`. */
  watch(disk: LocatedDisk): NonNullable<CapturedDisk['look']>;
  /** Another text than before: some disk came, went or changed. */
  fingerprint(paths: readonly string[]): Promise<string>;
}

interface Parts {
  readonly state: ServiceState;
  readonly bootId: string;
  readonly clock: Clock;
  readonly access: DiskAccess;
}

/** Of the machine that this runs on. */
export function thisMachinesDisks(bootId: string, clock: Clock): DiskAccess {
  return {
    find: (assigned) => findDisks(assigned, { bootId, clock }),
    open: async (path, devices) => {
      const whole = await inspectDisk(path);
      devices.use(await claimDisk(whole));
      const device = await inTime(
        path,
        clock,
        () => openDevice(path, 'read'),
        (late) => late.close(),
      );
      return { whole, disk: devices.use(new AnsweringDisk(device, path, clock, threads)) };
    },
    watch: ({ deviceNumber, found }) => {
      const wasDetaching = isDetaching(deviceNumber);
      return () =>
        // What goes over another path is not seen here: it is opened anew, and then refused with the reason.
        hasOtherPaths(found)
          ? { cause: 'DiskReturned', detail: 'it is one of several paths to a disk now' }
          : lookAt({ deviceNumber, facts: found.facts }, wasDetaching);
    },
    fingerprint,
  };
}

/** Reads that hang outlive what they were begun for, so all disks of the process share this. */
const threads = new ReadThreads();

interface OpeningParts {
  readonly devices: AsyncDisposableStack;
  /** Which disks were missing when this process opened them last: that they are there again is news. */
  readonly wasMissing: Set<string>;
}

/** Throws what a person must mend before anything can be replicated. What is opened is given to `devices`. */
export async function openDisks(
  assignment: DisksAssignment,
  parts: Parts & OpeningParts,
): Promise<OpenedDisk[]> {
  const { state, wasMissing } = parts;
  const located = await locate(assignment, parts);
  const isFirst = assignment.disks.every(({ diskId }) => state.knownDisk(diskId) === undefined);
  const opened: OpenedDisk[] = [];
  for (const [index, { diskId, path }] of assignment.disks.entries()) {
    const place = located[index];
    const known = state.knownDisk(diskId);
    if (!place && isFirst) throw await whyNot(path, parts);
    opened.push(
      place
        ? await openOne(diskId, path, place, known, parts)
        : missing(diskId, path, known, 'no disk of this machine is it'),
    );
  }
  await state.sawDisks(
    opened.flatMap(({ disk, located: place, whole }) => {
      const name = disk.name;
      if (!place || !whole) return [];
      const cause = causeOf(place, state.knownDisk(disk.diskId), parts.bootId);
      const { facts } = place.found;
      const seen = { identity: identityText(facts), sizeBytes: facts.sizeBytes, name };
      return [{ diskId: disk.diskId, disk: seen, ...(cause === undefined ? {} : { cause }) }];
    }),
  );
  for (const { disk, located: place } of opened) {
    if (disk.missing) wasMissing.add(disk.diskId);
    else wasMissing.delete(disk.diskId);
    // What it is when it comes back, and what was written to it meanwhile, nobody knows.
    if (!place) await state.distrust(disk.diskId, 'DiskReturned');
  }
  return opened;
}

function locate(assignment: DisksAssignment, { state, access }: Parts) {
  return access.find(
    assignment.disks.map(({ diskId, path }) => ({ path, identity: state.knownDisk(diskId)?.identity })),
  );
}

/** The refusal that this path deserves. */
async function whyNot(path: string, { access }: Parts): Promise<unknown> {
  try {
    await using devices = new AsyncDisposableStack();
    await access.open(path, devices);
  } catch (error) {
    return error;
  }
  return captureErrors.DiskNotFound(path);
}

async function openOne(
  diskId: OpenedDisk['disk']['diskId'],
  assignedPath: string,
  place: LocatedDisk,
  known: KnownDisk | undefined,
  { devices, bootId, access, wasMissing }: Parts & OpeningParts,
): Promise<OpenedDisk> {
  const { path, deviceNumber, found } = place;
  const identity = identityText(found.facts);
  const captured: CapturedDisk = {
    path,
    deviceNumber,
    sizeBytes: found.facts.sizeBytes,
    identity,
    look: access.watch(place),
  };
  try {
    const { disk, whole } = await access.open(path, devices);
    return {
      disk: { diskId, name: path, disk, identity },
      captured: { ...captured, hasRangedDiscards: whole.hasRangedDiscards },
      whole,
      located: place,
      events: eventsOf(assignedPath, place, known, bootId, wasMissing.has(diskId)),
    };
  } catch (error) {
    // What was never replicated is refused as before; so is what another service has.
    if (known === undefined || !(error instanceof LeewardError) || error.code === 'DiskAlreadyProtected')
      throw error;
    const event = errors.DiskMissing(
      path,
      describeIdentity(found.facts),
      `it cannot be opened: ${error.summary}`,
    );
    return {
      disk: {
        diskId,
        name: path,
        disk: missingDisk(path, found.facts.sizeBytes),
        identity,
        missing: 'unreadable',
      },
      captured,
      whole: undefined,
      located: place,
      events: [event],
    };
  }
}

function missing(
  diskId: OpenedDisk['disk']['diskId'],
  path: string,
  known: KnownDisk | undefined,
  why: string,
): OpenedDisk {
  // Of a disk that was never seen nothing is known; the hello wants a size.
  const sizeBytes = known?.sizeBytes ?? blockBytes;
  return {
    disk: { diskId, name: path, disk: missingDisk(path, sizeBytes), missing: 'gone' },
    captured: { path, deviceNumber: undefined, sizeBytes },
    whole: undefined,
    located: undefined,
    events: [errors.DiskMissing(path, known ? describe(known) : 'never seen', why)],
  };
}

/** Why it must be compared, if what it is tells that. After a boot all are compared with that cause: capture says so. */
function causeOf(
  { judgement, found }: LocatedDisk,
  known: KnownDisk | undefined,
  bootId: string,
): ResyncCause | undefined {
  if (judgement === 'new' || judgement === 'unbroken' || !known) return undefined;
  if (judgement === 'different') return 'DiskReplaced';
  if (parseIdentity(known.identity)?.bootId !== bootId) return undefined;
  return judgement === 'same' && found.facts.sizeBytes === known.sizeBytes ? 'DiskReturned' : 'DiskReplaced';
}

function eventsOf(
  assignedPath: string,
  place: LocatedDisk,
  known: KnownDisk | undefined,
  bootId: string,
  wasMissing: boolean,
): LeewardError[] {
  const events: LeewardError[] = [];
  const { facts } = place.found;
  if (!known) return events;
  const cause = causeOf(place, known, bootId);
  if (cause === 'DiskReplaced')
    events.push(
      errors.DiskReplaced(place.path, `it was ${describe(known)}, and is ${describeIdentity(facts)}`),
    );
  else if (cause === 'DiskReturned' || wasMissing)
    events.push(
      errors.DiskReturned(place.path, `it was ${describe(known)}, and is ${describeIdentity(facts)}`),
    );
  if (place.isElsewhere && known.name !== place.path)
    events.push(errors.DiskMoved(assignedPath, place.path, describeIdentity(facts)));
  return events;
}

function describe(known: KnownDisk): string {
  const facts = parseIdentity(known.identity);
  return facts ? describeIdentity(facts) : `a disk of ${known.sizeBytes} bytes`;
}

/** While a disk is missing: calls `come` once when opening all of them anew would find it. */
export async function untilOthersCome(
  opened: readonly OpenedDisk[],
  assignment: DisksAssignment,
  parts: Parts & { readonly log: Log },
  over: AbortSignal,
  come: () => void,
): Promise<void> {
  const { clock, log, access } = parts;
  if (opened.every(({ disk }) => !disk.missing)) return;
  const paths = assignment.disks.map(({ path }) => path);
  let before = await access.fingerprint(paths);
  let openedAt = clock.monotonic();
  while (!over.aborted) {
    await pause(clock, missingDiskLookMilliseconds, over);
    if (over.aborted) return;
    try {
      const now = await access.fingerprint(paths);
      // One that is there and cannot be opened is tried again as an extent that cannot be read.
      const isRetryDue = clock.monotonic() - openedAt >= readRetryMilliseconds;
      if (now === before && !isRetryDue) continue;
      before = now;
      openedAt = clock.monotonic();
      const located = await locate(assignment, parts);
      for (const [index, { disk, located: place }] of opened.entries()) {
        const here = located[index];
        if (!disk.missing || !here) continue;
        const isNew =
          place?.found.name !== here.found.name ||
          place.found.facts.attachment !== here.found.facts.attachment;
        if (!isNew && !(await canBeOpened(here.path, access))) continue;
        log.info('missing-disk-is-there', { path: here.path });
        come();
        return;
      }
    } catch (error) {
      log.warn('missing-disks-not-looked-for', { error });
    }
  }
}

async function canBeOpened(path: string, access: DiskAccess): Promise<boolean> {
  try {
    await using devices = new AsyncDisposableStack();
    await access.open(path, devices);
    return true;
  } catch {
    // Why not was told when it was opened last.
    return false;
  }
}

/** Where no disk is there: nothing is written, and nothing is lost. */
export function idleCapture(
  disks: readonly CapturedDisk[],
): Capture & { readonly startLosses: readonly CaptureLoss[] } {
  return {
    startLosses: [],
    barrier: async () => ({ losses: [] }),
    take: (index) => new ChangeMap(disks[index]!.sizeBytes),
    restore: () => {},
    pendingBytes: () => 0,
    writtenBytes: 0,
    [Symbol.asyncDispose]: async () => {},
  };
}
