/**
 * One service a disk: two would each believe that the copy is theirs, and fence each other off for ever. The claim is a
 * listening socket with a name of its own in the kernel's abstract namespace, which vanishes with the process, however it
 * ends: there is no file to go stale.
 */
import { createServer } from 'node:net';
import { hasCode } from '../../platform/errors.ts';
import { captureErrors } from './errors.ts';
import type { WholeDisk } from './inspect.ts';

/** Throws `DiskAlreadyProtected`. Held until it is disposed of. */
export async function claimDisk(
  disk: Pick<WholeDisk, 'path' | 'name' | 'deviceNumber'>,
): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  // A claim alone keeps no process alive.
  server.unref();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: `\0leeward-disk-${disk.deviceNumber}` }, resolve);
    });
  } catch (error) {
    if (hasCode(error, 'EADDRINUSE')) throw captureErrors.DiskAlreadyProtected(disk.path, disk.name);
    throw error;
  }
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
