/** Which cache storage the settings name. */
import { systemFiles } from '../../platform/files.ts';
import { systemRandom } from '../../platform/random.ts';
import { tlsOptions } from '../../platform/tls.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { FolderStore } from '../../protocol/cache/folder-store.ts';
import { HttpsStore } from '../../protocol/cache/https-store.ts';
import type { ProcessServerSettings } from '../../protocol/control/process-server-settings.ts';

export async function openStore(target: ProcessServerSettings['cache']): Promise<CacheStore> {
  if (target.type === 'folder') {
    const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: target.folder });
    await store.prepare();
    return store;
  }
  if (target.type === 'vault') return new HttpsStore({ url: target.url, tls: await tlsOptions(target.tls) });
  // Loaded only where it is used: the SDK costs 30 MiB of memory.
  const { openBlobStore } = await import('../../protocol/cache/open-blob-store.ts');
  return await openBlobStore(systemFiles, target);
}
