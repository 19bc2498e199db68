/** How the replication of an item is, as people read it: its disks, how far comparisons are, and when they will be over. */
import { z } from 'zod';
import { BookmarkType } from '../model/bookmark.ts';
import { DiskState, ResyncCause } from '../model/disk-state.ts';
import { HealthEvent } from '../model/health.ts';
import { ResyncProgress } from '../model/progress.ts';
import type { Api, Resource } from './api.ts';
import { bytes, duration } from './output.ts';

export const ReplicationDetails = z.looseObject({
  itemId: z.string().optional(),
  disks: z.array(
    z.looseObject({
      diskId: z.string(),
      path: z.string(),
      sizeBytes: z.number(),
      state: DiskState,
      cause: ResyncCause.optional(),
    }),
  ),
  progress: z.array(ResyncProgress),
  recoveryPointCount: z.number(),
  latestRecoveryPoint: z.object({ pointId: z.string(), type: BookmarkType, takenAt: z.string() }).optional(),
  /** Undefined before the first point. */
  rpoSeconds: z.number().optional(),
  /** Why the vault stands still. */
  blocked: HealthEvent.optional(),
  usedBytes: z.number().optional(),
});
export type ReplicationDetails = z.infer<typeof ReplicationDetails>;

export async function detailsOf(
  api: Api,
  item: Resource,
): Promise<Resource & { readonly properties: ReplicationDetails }> {
  const { body } = await api.on(item, 'replicationDetails.get');
  return { ...body, properties: ReplicationDetails.parse(body.properties) };
}

export interface ComparisonFigures {
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly sentBytes: number;
  readonly etaSeconds: number;
}

/**
 * Comparisons of all disks together, as long as somebody watches. A disk that is in sync has none any more; what was said of
 * it last still counts, so that what is done never becomes less.
 */
export class Comparisons {
  readonly #disks = new Map<string, ResyncProgress>();

  /** Undefined: none has begun. */
  update({ progress }: ReplicationDetails): ComparisonFigures | undefined {
    for (const [diskId, one] of this.#disks)
      if (!progress.some((other) => other.diskId === diskId))
        this.#disks.set(diskId, { ...one, doneBytes: one.totalBytes, etaSeconds: 0 });
    for (const one of progress) this.#disks.set(one.diskId, one);
    const all = [...this.#disks.values()];
    const sum = (key: 'totalBytes' | 'doneBytes' | 'sentBytes') =>
      all.reduce((total, one) => total + one[key], 0);
    if (all.length === 0) return undefined;
    return {
      totalBytes: sum('totalBytes'),
      doneBytes: sum('doneBytes'),
      sentBytes: sum('sentBytes'),
      etaSeconds: Math.max(...all.map((one) => one.etaSeconds ?? 0)),
    };
  }
}

/** For one line of progress (`showProgress`): what is going on, how much of it is done, and figures that change all the time. */
export function progressOf(
  name: string,
  details: ReplicationDetails,
  figures: ComparisonFigures | undefined,
): [text: string, fraction: number | undefined, detail?: string] {
  if (figures === undefined) return [`${name}: ${stateOf(details)}`, undefined];
  const { totalBytes, doneBytes, sentBytes, etaSeconds } = figures;
  if (doneBytes >= totalBytes) return [`${name}: all is compared; waiting for the recovery point`, undefined];
  const eta = etaSeconds > 0 ? `, about ${duration(etaSeconds)} to go` : '';
  return [`${name}: ${stateOf(details)}`, doneBytes / totalBytes, `${bytes(sentBytes)} sent${eta}`];
}

export function replicationText(name: string, details: ReplicationDetails): string {
  const { latestRecoveryPoint: latest, blocked } = details;
  return [
    `${name}${details.itemId === undefined ? '' : ` (${details.itemId})`}`,
    `  state   ${stateOf(details)}`,
    `  points  ${details.recoveryPointCount}${latest ? `, newest ${latest.takenAt} ${latest.type}` : ''}`,
    `  RPO     ${details.rpoSeconds === undefined ? 'no point yet' : duration(details.rpoSeconds)}`,
    ...(details.usedBytes === undefined ? [] : [`  space   ${bytes(details.usedBytes)}`]),
    ...details.disks.map(
      (disk) =>
        `  disk ${disk.path}  ${bytes(disk.sizeBytes)}  ${disk.state}${disk.cause ? ` (${disk.cause})` : ''}  ${disk.diskId}`,
    ),
    ...details.progress.map(
      (one) =>
        `  ${one.kind} because of ${one.cause}: ${bytes(one.doneBytes)} of ${bytes(one.totalBytes)} compared, ${bytes(one.sentBytes)} sent`,
    ),
    ...(blocked ? [`  stopped: ${blocked.summary}`, `  do: ${blocked.recommendedAction}`] : []),
  ].join('\n');
}

function stateOf({ blocked, disks }: ReplicationDetails): string {
  if (blocked) return `stopped: ${blocked.code}`;
  const untrusted = disks.find(({ state }) => state !== 'in-sync');
  if (untrusted === undefined) return 'in sync';
  if (untrusted.state === 'empty') return 'waiting for the machine';
  return untrusted.state === 'initial'
    ? 'initial replication'
    : `comparing again (${untrusted.cause ?? 'unknown cause'})`;
}
