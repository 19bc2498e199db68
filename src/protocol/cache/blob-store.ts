/**
 * Cache storage in Azure Blob Storage (or Azurite): one block blob an object, put with If-None-Match: * so that an object
 * is never replaced, its SHA-256 kept as metadata so that `present` and `conflict` can be told apart without reading it.
 *
 * A blob appears when its block list is committed, after the whole content was hashed here: content that is not what was
 * announced leaves only uncommitted blocks, which the service forgets.
 */
import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';
import { type ContainerClient, RestError } from '@azure/storage-blob';
import { type CacheObject, type CacheStore, cacheKeyPattern, type ObjectBody } from './cache-store.ts';
import { cacheErrors } from './errors.ts';

/** 50,000 blocks of 4 MiB are 195 GiB, far above any object here. */
const blockBytes = 4 << 20;
/** Azure's metadata names are C# identifiers. */
const digestName = 'leewardsha256';

export class BlobStore implements CacheStore {
  readonly #container: ContainerClient;

  constructor(container: ContainerClient) {
    this.#container = container;
  }

  async put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'> {
    checkKey(key);
    signal.throwIfAborted();
    const blob = this.#container.getBlockBlobClient(key);
    const present = await this.#digestOf(key, signal);
    if (present !== undefined) {
      if (present !== body.sha256) throw cacheErrors.ObjectConflict(key);
      return 'present';
    }
    const hash = createHash('sha256');
    const blocks: string[] = [];
    let sizeBytes = 0;
    const stream = addAbortSignal(signal, body.open());
    try {
      for await (const block of inBlocks(stream)) {
        sizeBytes += block.byteLength;
        if (sizeBytes > body.sizeBytes) throw cacheErrors.ObjectDigestMismatch(key);
        hash.update(block);
        // Ids are of one length; the digest in them keeps two uploads of the same key from mixing their blocks.
        const id = Buffer.from(
          `${body.sha256.slice(0, 32)}-${String(blocks.length).padStart(6, '0')}`,
        ).toString('base64');
        await this.#call(signal, () => blob.stageBlock(id, block, block.byteLength, { abortSignal: signal }));
        blocks.push(id);
      }
    } finally {
      stream.destroy();
    }
    if (sizeBytes !== body.sizeBytes || hash.digest('hex') !== body.sha256)
      throw cacheErrors.ObjectDigestMismatch(key);
    try {
      await this.#call(signal, () =>
        blob.commitBlockList(blocks, {
          abortSignal: signal,
          metadata: { [digestName]: body.sha256 },
          conditions: { ifNoneMatch: '*' },
        }),
      );
      return 'created';
    } catch (error) {
      // Somebody was quicker: theirs is either ours or a conflict.
      if (!(error instanceof RestError) || ![409, 412].includes(error.statusCode ?? 0)) throw error;
      if ((await this.#digestOf(key, signal)) !== body.sha256) throw cacheErrors.ObjectConflict(key);
      return 'present';
    }
  }

  async get(key: string, signal: AbortSignal): Promise<Readable | undefined> {
    checkKey(key);
    try {
      const answer = await this.#call(signal, () =>
        this.#container.getBlobClient(key).download(0, undefined, { abortSignal: signal }),
      );
      return answer.readableStreamBody as Readable;
    } catch (error) {
      if (error instanceof RestError && error.statusCode === 404) return undefined;
      throw error;
    }
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<CacheObject[]> {
    const found: CacheObject[] = [];
    const { after } = options;
    const limit = Math.min(options.limit, 1000);
    // `startFrom` is inclusive and newer than some services: what comes before `after` is passed over here.
    await this.#call(signal, async () => {
      for await (const blob of this.#container.listBlobsFlat({ prefix, abortSignal: signal })) {
        if (after !== undefined && blob.name <= after) continue;
        found.push({ key: blob.name, sizeBytes: blob.properties.contentLength ?? 0 });
      }
    });
    // The order between `-`, `.` and `/` is the service's own.
    found.sort((a, b) => (a.key < b.key ? -1 : 1));
    return found.slice(0, limit);
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#call(signal, () =>
      this.#container.getBlobClient(key).deleteIfExists({ abortSignal: signal }),
    );
  }

  async #digestOf(key: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const facts = await this.#call(signal, () =>
        this.#container.getBlobClient(key).getProperties({ abortSignal: signal }),
      );
      return facts.metadata?.[digestName] ?? '';
    } catch (error) {
      if (error instanceof RestError && error.statusCode === 404) return undefined;
      throw error;
    }
  }

  /** What the service itself does not answer, or answers with 5xx, is the store out of reach. */
  async #call<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof RestError && (error.statusCode === undefined || error.statusCode >= 500))
        throw cacheErrors.CacheStoreUnreachable(this.#container.accountName, error);
      throw error;
    }
  }
}

async function* inBlocks(stream: Readable): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    held.push(chunk);
    heldBytes += chunk.byteLength;
    if (heldBytes < blockBytes) continue;
    const whole = Buffer.concat(held);
    let at = 0;
    for (; whole.byteLength - at >= blockBytes; at += blockBytes) yield whole.subarray(at, at + blockBytes);
    held = [whole.subarray(at)];
    heldBytes = whole.byteLength - at;
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}

function checkKey(key: string): void {
  if (!cacheKeyPattern.test(key)) throw cacheErrors.InvalidObjectKey(key);
}
