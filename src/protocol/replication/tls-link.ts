/**
 * A link over a TLS socket, used by both ends: `dialLink` at the mobility service, `acceptLink` around a socket that the
 * process server's listener accepted. Certificates are checked by TLS itself against the vault's authority; here the
 * peer's common name is read, and a dialler says which name it wants (a mobility service must not take another protected
 * machine, whose certificate comes from the same authority, for its process server).
 *
 * Leaf adapter: `node:tls` is the device here. Time comes from the injected clock.
 */
import { type ConnectionOptions, connect, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { type Clock, pause, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { encodeHeader, type Frame, FrameSplitter, FrameType, frame } from './frame.ts';
import { type Link, linkBroken, linkSilent } from './link.ts';
import { heartbeatMilliseconds, silenceMillisecondsMax } from './messages.ts';

export interface LinkTimes {
  readonly heartbeatMilliseconds: number;
  readonly silenceMillisecondsMax: number;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** What `platform/tls.ts` makes of the certificate files: authority, certificate, key, versions and ciphers. */
  readonly tls: SecureContextOptions;
  /** Whether the peer's common name is the one wanted. */
  readonly accepts: (commonName: string) => boolean;
  readonly clock: Clock;
  readonly times?: LinkTimes;
  readonly connectMillisecondsMax?: number;
}

const standardTimes: LinkTimes = { heartbeatMilliseconds, silenceMillisecondsMax };

/** TCP and TLS handshakes take 3 round trips; 15 s is past every retransmission that still helps. */
const connectMillisecondsMaxDefault = 15_000;

/** How long a closing side still takes what the peer sends, so that its own last frame arrives. */
const lingerMilliseconds = 2_000;

/** Connects, checks the peer and answers the link. Throws `LinkBroken`, `LinkTimedOut` or `PeerNotTrusted`. */
export async function dialLink(options: DialOptions): Promise<Link> {
  const peer = `${options.host}:${options.port}`;
  let refusedName: string | undefined;
  const settings: ConnectionOptions = {
    host: options.host,
    port: options.port,
    ...options.tls,
    rejectUnauthorized: true,
    // The name in the certificate is a role, not a host: process servers move.
    checkServerIdentity: (_host, certificate) => {
      const name = commonName(certificate.subject?.CN);
      if (options.accepts(name)) return undefined;
      refusedName = name;
      return new Error(`the certificate is for ${name}`);
    },
  };
  const socket = connect(settings);
  socket.setNoDelay(true);
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the peer hung up during the handshake')));
  });
  try {
    await withDeadline(
      options.clock,
      options.connectMillisecondsMax ?? connectMillisecondsMaxDefault,
      connected,
      () => linkBroken(peer, 'no connection within the time limit'),
    );
  } catch (cause) {
    socket.on('error', () => {}); // Already told.
    socket.destroy();
    if (cause instanceof LeewardError) throw cause;
    if (refusedName !== undefined || isCertificateError(cause))
      throw peerNotTrusted(peer, refusedName ?? messageOf(cause), cause);
    throw linkBroken(peer, messageOf(cause), cause);
  }
  return new TlsLink(socket, options.clock, options.times ?? standardTimes);
}

/** Wraps a socket whose handshake is done (`secureConnection`). The listener must have asked for a certificate
 * (`requestCert`, `rejectUnauthorized`). */
export function acceptLink(socket: TLSSocket, clock: Clock, times: LinkTimes = standardTimes): Link {
  socket.setNoDelay(true);
  return new TlsLink(socket, clock, times);
}

function peerNotTrusted(peer: string, why: string, cause: unknown): LeewardError {
  return new LeewardError({
    code: 'PeerNotTrusted',
    summary: `${peer} did not prove who it is: ${why}`,
    possibleCauses:
      'Another service listens at that address, the certificates are from different vaults, or one has run out.',
    recommendedAction:
      'Check the address, the clocks and the certificates of both machines; issue them anew if need be.',
    // Certificates are renewed in place and clocks are corrected: trying again is right, and harmless.
    retry: 'transient',
    context: { peer },
    cause,
  });
}

function isCertificateError(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|ERR_SSL_TLSV1_ALERT|ERR_SSL_TLSV13_ALERT/.test(code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function commonName(value: string | string[] | undefined): string {
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

class TlsLink implements Link {
  readonly peerName: string;
  readonly #socket: TLSSocket;
  readonly #clock: Clock;
  readonly #times: LinkTimes;
  readonly #ended = new AbortController();
  #failure: Error | undefined;
  #isClosed = false;
  #isIterated = false;
  /** Since when `frames()` waits for the peer; undefined while its consumer is busy. */
  #waitingSince: number | undefined;
  /** For how long, as far as this process ran: what came while it stood still lies in the socket, and is read after the timers. */
  #waitedMilliseconds = 0;
  #lastSent: number;
  #isCorked = false;

  constructor(socket: TLSSocket, clock: Clock, times: LinkTimes) {
    this.#socket = socket;
    this.#clock = clock;
    this.#times = times;
    this.peerName = commonName(socket.getPeerCertificate()?.subject?.CN);
    this.#lastSent = clock.monotonic();
    socket.on('error', (error) => this.#end(linkBroken(this.#peer, messageOf(error), error)));
    socket.on('close', () =>
      this.#end(socket.readableEnded ? undefined : linkBroken(this.#peer, 'the connection was closed')),
    );
    this.#keepAlive().catch((error: unknown) => this.close(error as Error));
  }

  get #peer(): string {
    return this.peerName === '' ? 'the peer' : this.peerName;
  }

  send(frame: Frame): Promise<void> {
    if (this.#isClosed) return Promise.reject(this.#failure ?? linkBroken(this.#peer, 'it is closed'));
    this.#lastSent = this.#clock.monotonic();
    const header = encodeHeader(frame);
    this.#cork();
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null) =>
        error ? reject(this.#failure ?? linkBroken(this.#peer, error.message, error)) : resolve();
      if (frame.payload.byteLength === 0) this.#socket.write(header, done);
      else {
        this.#socket.write(header);
        this.#socket.write(frame.payload, done);
      }
    });
  }

  /** What is sent in one turn of the event loop goes to TLS as one write: a delta is thousands of 4 KiB frames, and a
   * write for each cost 150 µs. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#socket.uncork();
    });
  }

  async *frames(): AsyncGenerator<Frame> {
    if (this.#isIterated) throw new Error('a link is read once');
    this.#isIterated = true;
    const splitter = new FrameSplitter();
    const chunks = this.#socket.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#waitingSince = this.#clock.monotonic();
        const next = await chunks.next();
        this.#waitingSince = undefined;
        this.#waitedMilliseconds = 0;
        if (this.#failure) throw this.#failure;
        if (this.#isClosed) return;
        if (next.done) break;
        for (const arrived of splitter.push(next.value as Buffer))
          if (arrived.type !== FrameType.heartbeat) yield arrived;
      }
    } catch (error) {
      this.#waitingSince = undefined;
      this.#waitedMilliseconds = 0;
      if (this.#isClosed && !this.#failure) return;
      const failure =
        this.#failure ??
        (error instanceof LeewardError ? error : linkBroken(this.#peer, messageOf(error), error));
      this.close(failure);
      throw failure;
    } finally {
      await chunks.return?.();
      if (this.#isClosed) this.#socket.resume();
    }
    // The peer's end of the stream. Inside a frame it is a cut; between frames it is a good-bye.
    if (splitter.isInsideFrame && !this.#isClosed) {
      const failure = linkBroken(this.#peer, 'the stream ended inside a frame');
      this.close(failure);
      throw failure;
    }
    this.close();
  }

  close(reason?: Error): void {
    if (this.#isClosed) return;
    this.#end(reason);
    // A reason means that nobody is there or nobody should be. Without one, what was sent still goes out; meanwhile what
    // arrives is thrown away rather than left lying, because closing over unread bytes makes the kernel send a reset, and
    // a reset may overtake our last frame (a `fenced` that the peer must read).
    if (reason) {
      this.#socket.destroy();
      return;
    }
    const socket = this.#socket;
    socket.end();
    socket.resume();
    const gone = new AbortController();
    socket.once('close', () => gone.abort());
    void pause(this.#clock, lingerMilliseconds, gone.signal).then(() => socket.destroy());
  }

  #end(reason?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#failure = reason;
    this.#ended.abort();
  }

  async #keepAlive(): Promise<void> {
    const { signal } = this.#ended;
    // Half the interval, so that a heartbeat is never later than one and a half.
    const tick = this.#times.heartbeatMilliseconds / 2;
    let before = this.#clock.monotonic();
    while (!signal.aborted) {
      await pause(this.#clock, tick, signal);
      if (signal.aborted) return;
      const now = this.#clock.monotonic();
      if (this.#waitingSince !== undefined)
        this.#waitedMilliseconds += Math.min(now - Math.max(before, this.#waitingSince), 2 * tick);
      before = now;
      if (this.#waitedMilliseconds > this.#times.silenceMillisecondsMax) {
        this.close(linkSilent(this.#peer, this.#waitedMilliseconds));
        return;
      }
      // A socket that is still busy with earlier bytes shows life by itself, and must not be filled further.
      if (now - this.#lastSent >= this.#times.heartbeatMilliseconds && this.#socket.writableLength === 0)
        void this.send(frame(FrameType.heartbeat)).catch((error: Error) => this.close(error));
    }
  }
}
