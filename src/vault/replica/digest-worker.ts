/**
 * A thread of the digest pool: reads a stretch of a replica disk past the page cache, which a disk that is read once from
 * end to end would only wash away, and digests it. While one thread reads, the other one hashes.
 */
import { closeSync, constants, readSync } from 'node:fs';
import { Arena, pageBytes } from '../../disk/arena.ts';
import { openDirectSync } from '../../disk/device.ts';
import { serveJobs } from '../../platform/pool-thread.ts';
import { type ChunkDigests, type DigestStretch, digestChunks, digestStretchBytes } from './chunk-digests.ts';

const loan = await new Arena(digestStretchBytes).borrow(digestStretchBytes);

serveJobs((stretch: DigestStretch): ChunkDigests => digestChunks(read(stretch)));

function read({ path, offsetBytes, lengthBytes }: DigestStretch): Uint8Array {
  const fd = openDirectSync(path, constants.O_RDONLY);
  try {
    // Whole pages: the file may end inside the last one, and then the read comes back short.
    const wanted = Math.ceil(lengthBytes / pageBytes) * pageBytes;
    let done = 0;
    while (done < wanted) {
      const count = readSync(fd, loan.bytes, done, wanted - done, offsetBytes + done);
      done += count;
      // A short read that ends inside a page is the end of the file.
      if (count === 0 || done % pageBytes !== 0) break;
    }
    loan.bytes.fill(0, Math.min(done, lengthBytes), lengthBytes);
    return loan.bytes.subarray(0, lengthBytes);
  } finally {
    closeSync(fd);
  }
}
