/**
 * One process at a time works in a daemon's folder. A second one, started by hand beside the service, would take the database
 * away from the first, unmount the volume under it, or write into the same spool.
 *
 * The hold is a unix socket without a file, named after the folder's device and inode: the kernel gives such a name to one
 * process and takes it back however that process ends, so nothing is ever left over from a kill. Names are those of a network
 * namespace: two daemons in different ones do not see each other's.
 */
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hasCode, LeewardError } from './errors.ts';

/** Held until it is disposed of. Throws `FolderHeld`. */
export async function holdFolder(folder: string): Promise<AsyncDisposable> {
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`\0leeward/folder/${dev}/${ino}`, resolve);
    });
  } catch (error) {
    if (!hasCode(error, 'EADDRINUSE')) throw error;
    throw new LeewardError({
      code: 'FolderHeld',
      summary: `another process is at work in ${folder}`,
      possibleCauses: 'The service runs already, and this was started beside it.',
      recommendedAction:
        'Use the one that runs; or stop it first (`systemctl stop`, or Ctrl-C where it is in the foreground).',
      context: { folder },
    });
  }
  // It keeps nobody from ending.
  server.unref();
  return {
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
