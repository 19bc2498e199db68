/**
 * A link: one connection that carries frames both ways, whatever lies under it. The TLS socket (`tls-link.ts`) serves
 * both ends in production; tests and the simulation have one in memory that can be cut and delayed at any frame.
 *
 * A link keeps itself alive: it sends heartbeats while nothing else is sent and swallows those that arrive, so neither
 * end ever sees one. It hangs up with `LinkSilent` when it waited for the peer and heard nothing for
 * `silenceMillisecondsMax`. Waiting for its own consumer is not silence.
 */
import { LeewardError } from '../../platform/errors.ts';
import type { Frame } from './frame.ts';

export interface Link {
  /** The common name of the peer's certificate. */
  readonly peerName: string;
  /**
   * Resolves when the transport has taken the frame; until then the payload must not change, afterwards it may be
   * reused. Frames go out in the order of the calls, whether or not the caller waits between them; whoever does not
   * wait bounds by itself how many are under way. Rejects when the link is closed.
   */
  send(frame: Frame): Promise<void>;
  /**
   * What the peer sends, once; to be called once. The transport is read only as fast as this is consumed. Ends when the
   * peer closed in good order or `close()` was called without a reason; throws when the link broke. A payload is valid
   * until the next frame is asked for: copy what is kept.
   */
  frames(): AsyncIterable<Frame>;
  /** Hangs up at once; may be called again. With a reason, `frames()` and pending sends fail with it. */
  close(reason?: Error): void;
}

/** Payload and header bytes that a link takes before `send` waits: a few extents, so that a disk read overlaps. */
export const linkBufferBytesMax = 4 << 20;

export function linkBroken(peer: string, why: string, cause?: unknown): LeewardError {
  return new LeewardError({
    code: 'LinkBroken',
    summary: `the connection to ${peer} broke: ${why}`,
    possibleCauses:
      'The network was interrupted, the peer was stopped or restarted, or a firewall cut the connection.',
    recommendedAction: 'Nothing: the connection is made anew and everything not acknowledged is sent again.',
    severity: 'warning',
    retry: 'transient',
    context: { peer },
    cause,
  });
}

export function linkSilent(peer: string, milliseconds: number): LeewardError {
  return new LeewardError({
    code: 'LinkSilent',
    summary: `${peer} has sent nothing, not even a heartbeat, for ${Math.round(milliseconds / 1000)} s`,
    possibleCauses: 'The peer hangs, its machine is down, or the network drops packets without saying so.',
    recommendedAction:
      'Nothing at first: the connection is made anew. If it repeats, look at the peer and the network.',
    severity: 'warning',
    retry: 'transient',
    context: { peer },
  });
}
