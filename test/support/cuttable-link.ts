/** A wire that can be cut: connections to its port go on to another one, until somebody says otherwise. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface CuttableLink extends AsyncDisposable {
  readonly port: number;
  /** Ends every connection now; new ones are refused until `mend`. */
  cut(): void;
  mend(): void;
  /** Lets the next request through and cuts before this much of the answer has come back: done, but nobody heard. */
  loseNextAnswer(afterBytes: number): void;
}

export async function cuttableLink(targetPort: () => number): Promise<CuttableLink> {
  const sockets = new Set<Socket>();
  let isCut = false;
  let loseAfterBytes: number | undefined;
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(targetPort(), '127.0.0.1');
    let passedBytes = 0;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.on('data', (piece: Buffer) => {
      passedBytes += piece.byteLength;
      if (loseAfterBytes !== undefined && passedBytes > loseAfterBytes) {
        loseAfterBytes = undefined;
        near.destroy();
        far.destroy();
        return;
      }
      near.write(piece);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const end = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      end();
    },
    mend: () => {
      isCut = false;
    },
    loseNextAnswer: (afterBytes) => {
      loseAfterBytes = afterBytes;
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        end();
      }),
  };
}
