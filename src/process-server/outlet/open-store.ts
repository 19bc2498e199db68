/** Which cache storage the settings name. */
import { LeewardError } from '../../platform/errors.ts';
import { systemFiles } from '../../platform/files.ts';
import { systemRandom } from '../../platform/random.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { FolderStore } from '../../protocol/cache/folder-store.ts';
import type { ProcessServerSettings } from '../settings.ts';

export async function openStore(target: ProcessServerSettings['cache']): Promise<CacheStore> {
  if (target.type === 'folder') {
    const store = new FolderStore({ files: systemFiles, random: systemRandom, folder: target.folder });
    await store.prepare();
    return store;
  }
  throw new LeewardError({
    code: 'CacheTargetNotSupported',
    summary: `cache storage of type ${target.type} is not built into this process server`,
    possibleCauses: 'The settings are for another version.',
    recommendedAction: 'Use a supported type.',
  });
}
