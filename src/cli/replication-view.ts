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

/** For one line of progress: what is going on, and how much of it is done. */
export function progressOf(name: string, details: ReplicationDetails): [string, number | undefined] {
  const { progress } = details;
  if (progress.length === 0) return [`${name}: ${stateOf(details)}`, undefined];
  const etaSeconds = Math.max(0, ...progress.map((one) => one.etaSeconds ?? 0));
  const sentBytes = progress.reduce((sum, one) => sum + one.sentBytes, 0);
  const totalBytes = progress.reduce((sum, one) => sum + one.totalBytes, 0);
  const doneBytes = progress.reduce((sum, one) => sum + one.doneBytes, 0);
  const eta = etaSeconds > 0 ? `, about ${duration(etaSeconds)} to go` : '';
  return [
    `${name}: ${stateOf(details)}, ${bytes(sentBytes)} sent${eta},`,
    totalBytes === 0 ? undefined : doneBytes / totalBytes,
  ];
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
  return untrusted.state === 'empty'
    ? 'waiting for the machine'
    : `${untrusted.state} (${untrusted.cause ?? 'unknown cause'})`;
}
