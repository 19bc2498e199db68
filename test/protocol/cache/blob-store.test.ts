/** Goal: Azure Blob Storage keeps the promises of a cache store, told by Azurite started for this file alone. */
import { ContainerClient } from '@azure/storage-blob';
import { BlobStore } from '../../../src/protocol/cache/blob-store.ts';
import { startAzurite } from '../../support/azurite.ts';
import { cacheStoreSuite } from '../../support/cache-store-suite.ts';

cacheStoreSuite('Azure Blob Storage', async () => {
  const azurite = await startAzurite();
  await azurite.makeContainer('cache');
  return {
    store: new BlobStore(new ContainerClient(azurite.connectionString, 'cache')),
    close: () => azurite.close(),
  };
});
