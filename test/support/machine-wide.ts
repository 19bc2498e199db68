/**
 * Names that one process of this machine has at a time, whatever folder it runs in. A name is an abstract socket's: nothing lies
 * about, and the kernel gives it back when its holder ends, however it ends.
 */
import { createServer } from 'node:net';

/** Undefined when another process has it. What is not given back is kept until this process ends. */
export async function take(name: string): Promise<Disposable | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  const isTaken = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen({ path: `\0leeward-${name}` }, () => resolve(true));
  });
  return isTaken ? { [Symbol.dispose]: () => void server.close() } : undefined;
}
