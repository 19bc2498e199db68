/**
 * Large buffers that nobody needs any more are given back at once instead of at the next garbage collection: on the byte
 * path that is a GB of them for each GB, and waiting for the collector took both its time and hundreds of MiB.
 */

/** Smaller ones may lie in a pool with others, and are not worth it. */
const bytesMin = 64 << 10;

/** `bytes` must not be used afterwards by anybody. Does nothing where their memory is not their own, but for so many bytes
 * of it at most that nobody uses. */
export function giveBack(bytes: Uint8Array, unusedBytes = 0): void {
  const { buffer } = bytes;
  if (bytes.byteLength < bytesMin || bytes.byteLength + unusedBytes < buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
