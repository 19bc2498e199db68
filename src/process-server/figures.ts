/** The process server's figures, for Prometheus. */
import type { Metrics } from '../platform/metrics.ts';

export class ProcessServerFigures {
  readonly received: (bytes: number) => void;
  readonly sent: (bytes: number) => void;
  /** To cache storage, since the start. */
  sentBytes = 0;
  readonly acknowledged: (seconds: number) => void;
  readonly refined: (journalBytes: number, logicalBytes: number, objectBytes: number) => void;
  readonly levels: (spoolBytes: number, sessions: number) => void;

  constructor(metrics: Metrics) {
    const bytesIn = metrics.counter('leeward_process_server_received_bytes', 'Journalled from senders');
    const bytesOut = metrics.counter('leeward_process_server_sent_bytes', 'Sent to cache storage');
    const latency = metrics.summary('leeward_process_server_ack_seconds', 'From arrival to acknowledgement');
    const journal = metrics.counter('leeward_process_server_refined_journal_bytes', 'Journal refined');
    const logical = metrics.counter('leeward_process_server_refined_logical_bytes', 'Of disks, in segments');
    const objects = metrics.counter(
      'leeward_process_server_refined_object_bytes',
      'Compressed and encrypted',
    );
    const spool = metrics.gauge('leeward_process_server_spool_bytes', 'Used by the spool');
    const sessions = metrics.gauge('leeward_process_server_sessions', 'Machines connected');
    this.received = (bytes) => bytesIn.add(bytes);
    this.sent = (bytes) => {
      this.sentBytes += bytes;
      bytesOut.add(bytes);
    };
    this.acknowledged = (seconds) => latency.observe(seconds);
    this.refined = (journalBytes, logicalBytes, objectBytes) => {
      journal.add(journalBytes);
      logical.add(logicalBytes);
      objects.add(objectBytes);
    };
    this.levels = (spoolBytes, count) => {
      spool.set(spoolBytes);
      sessions.set(count);
    };
  }
}
