/** A TCP link that behaves badly: a relay on loopback between two processes or two ends of one test. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface RelayFaults {
  /** Asked for each new connection: after so many bytes, in the middle of whatever is under way, it is reset. */
  readonly cutAfterBytes?: () => number | undefined;
  /** Asked for each piece that arrives: it goes on so much later. */
  readonly delayMilliseconds?: () => number;
}

export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isOpen = true;
  /** Connections that were reset in the middle. */
  cuts = 0;

  private constructor(target: number, faults: RelayFaults) {
    this.#server = createServer((near) => {
      if (!this.#isOpen) return void near.destroy();
      const far = connect(target, '127.0.0.1');
      let left = faults.cutAfterBytes?.() ?? Number.POSITIVE_INFINITY;
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on('data', (bytes) => {
          const part = bytes.subarray(0, left);
          left -= part.byteLength;
          const isCut = left === 0;
          one.pause();
          const pass = () =>
            other.write(part, () => {
              if (!isCut) return void one.resume();
              this.cuts += 1;
              near.resetAndDestroy();
              far.resetAndDestroy();
            });
          const delay = faults.delayMilliseconds?.() ?? 0;
          if (delay === 0) pass();
          else setTimeout(pass, delay);
        });
        one.on('end', () => other.end());
        one.on('error', () => other.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  /** From any free port of 127.0.0.1, or `from`. */
  static async to(
    target: number,
    faults: RelayFaults = {},
    from: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 },
  ): Promise<{ relay: Relay; port: number }> {
    const relay = new Relay(target, faults);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(from.port, from.host, () => resolve());
    });
    return { relay, port: (relay.#server.address() as AddressInfo).port };
  }

  cut(): void {
    this.#isOpen = false;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  mend(): void {
    this.#isOpen = true;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
