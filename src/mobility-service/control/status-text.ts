/** What the service is doing, in sentences: for the person who types `mobility-service status`. Programs read the JSON. */
import type { ReplicationStatus } from './replication.ts';

/** The status file's content. */
export interface ServiceStatus extends ReplicationStatus {
  readonly residentBytes: number;
  /** ISO 8601 UTC. */
  readonly writtenAt: string;
  /** It was refused for good and replicates nothing. */
  readonly refusal?:
    | {
        readonly code: string;
        readonly summary: string;
        readonly possibleCauses: string;
        readonly recommendedAction: string;
      }
    | undefined;
}

/** The file is written every second; one that is older belongs to a service that no longer runs, or hangs. */
const staleMilliseconds = 15_000;

export function statusText(status: ServiceStatus, nowMilliseconds: number): string {
  const lines: string[] = [];
  const say = (label: string, text: string): unknown => lines.push(`${`${label}:`.padEnd(15)}${text}`);
  const ageMilliseconds = nowMilliseconds - Date.parse(status.writtenAt);
  if (status.refusal) {
    const { code, summary, possibleCauses, recommendedAction } = status.refusal;
    say('service', `REFUSED ${duration(ageMilliseconds / 1000)} ago, and replicates nothing`);
    say('refused with', `${code}: ${summary}`);
    say('causes', possibleCauses);
    say('what to do', recommendedAction);
    return lines.join('\n');
  }
  if (status.connection === 'stopped')
    say('service', `stopped ${duration(ageMilliseconds / 1000)} ago; the kernel goes on recording changes`);
  else if (ageMilliseconds > staleMilliseconds)
    say('service', `NOT RUNNING, or it hangs: it said nothing for ${duration(ageMilliseconds / 1000)}`);
  else
    say(
      'service',
      status.connection === 'connected'
        ? 'running, connected to the process server'
        : 'running, connecting to the process server',
    );
  for (const disk of status.disks) {
    const progress = status.progress.find(({ diskId }) => diskId === disk.diskId);
    say(
      'disk',
      `${disk.name}, ${size(disk.sizeBytes)}, ${progress ? walkText(progress) : stateText(status, disk)}`,
    );
  }
  const pending = `${size(status.pendingBytes)} written and not sent yet`;
  say('changes', `${pending}, ${size(status.unacknowledgedBytes)} sent and not confirmed`);
  const { lastBookmark } = status;
  if (lastBookmark) {
    const agoSeconds = (nowMilliseconds - Date.parse(lastBookmark.takenAt)) / 1000;
    const kind =
      lastBookmark.type === 'ApplicationConsistent' ? 'application-consistent' : 'crash-consistent';
    const froze =
      lastBookmark.method === 'freeze'
        ? `, file systems stood still for ${Math.round(lastBookmark.frozenMilliseconds)} ms`
        : '';
    say('last bookmark', `${lastBookmark.takenAt} (${duration(agoSeconds)} ago), ${kind}${froze}`);
  } else say('last bookmark', 'none since the service started');
  if (status.lastHealthEvent) {
    const { code, summary, recommendedAction, raisedAt } = status.lastHealthEvent;
    say('last event', `${raisedAt} ${code}: ${summary}`);
    say('', `what to do: ${recommendedAction}`);
  }
  if (status.lastError) say('last error', status.lastError);
  say('memory', size(status.residentBytes));
  return lines.map((line) => (line.startsWith(':') ? ` ${line.slice(1)}` : line)).join('\n');
}

function stateText(status: ReplicationStatus, disk: ReplicationStatus['disks'][number]): string {
  if (disk.isInSync) return 'in sync';
  return status.connection === 'connected' ? 'waiting to be compared' : 'not connected';
}

function walkText(progress: ReplicationStatus['progress'][number]): string {
  const what =
    progress.kind === 'initial' ? 'initial replication' : `compared with its copy (${progress.cause})`;
  const percent = Math.floor((progress.doneBytes * 100) / progress.totalBytes);
  const eta = progress.etaSeconds === undefined ? '' : `, about ${duration(progress.etaSeconds)} to go`;
  return `${what}: ${percent} %${eta}, ${size(progress.sentBytes)} sent`;
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}
