/** A `BlobStore` from what the settings say: a connection string in a file, and a container. */
import { ContainerClient } from '@azure/storage-blob';
import { LeewardError } from '../../platform/errors.ts';
import { type Files, readWhole } from '../../platform/files.ts';
import { BlobStore } from './blob-store.ts';

/** A connection string has some 250 characters. */
const connectionStringBytesMax = 4096;

export async function openBlobStore(
  files: Files,
  target: { readonly connectionStringFile: string; readonly container: string },
): Promise<BlobStore> {
  const text = await readWhole(files, target.connectionStringFile, connectionStringBytesMax);
  if (text === undefined)
    throw new LeewardError({
      code: 'ConnectionStringUnreadable',
      summary: `the connection string file ${target.connectionStringFile} does not exist`,
      possibleCauses: 'The settings name another file, or it was not written yet.',
      recommendedAction:
        'Write the storage account’s connection string into it, readable by the service only.',
      context: { path: target.connectionStringFile },
    });
  return new BlobStore(new ContainerClient(text.toString().trim(), target.container));
}
