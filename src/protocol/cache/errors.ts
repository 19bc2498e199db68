/** What can go wrong with cache storage and with the objects in it. */
import { catalogue, LeewardError } from '../../platform/errors.ts';

export const cacheErrors = catalogue({
  ObjectConflict: (key: string) => ({
    summary: `cache storage already has other content under ${key}`,
    possibleCauses:
      'Two process servers write the chain of one item, the spool was restored from an old copy, or somebody wrote into cache storage.',
    recommendedAction:
      'Make sure that only one process server has this item, then resynchronize the item: it starts a new chain.',
    severity: 'critical' as const,
    context: { key },
  }),
  ObjectDigestMismatch: (key: string) => ({
    summary: `what arrived for ${key} is not what was announced`,
    possibleCauses: 'Bits flipped on the way, or the stream was cut off.',
    recommendedAction: 'Nothing: it is sent again. If it happens often, check memory and network.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { key },
  }),
  CacheStoreFull: (where: string, cause?: unknown) => ({
    summary: `cache storage ${where} is full`,
    possibleCauses: 'The log processor is behind or stopped, or the volume is too small for the churn.',
    recommendedAction: 'Make room or let the log processor catch up. Nothing is lost meanwhile.',
    retry: 'transient' as const,
    context: { where },
    cause,
  }),
  CacheStoreUnreachable: (where: string, cause?: unknown) => ({
    summary: `cache storage ${where} cannot be reached`,
    possibleCauses: 'The vault is down or restarting, or the network between the sites is cut.',
    recommendedAction: 'Nothing at once: it is tried again. If it lasts, check the vault and the network.',
    retry: 'transient' as const,
    context: { where },
    cause,
  }),
  InvalidObjectKey: (key: string) => ({
    summary: `"${key.slice(0, 100)}" is not a key of cache storage`,
    possibleCauses: 'The request was not made by Leeward.',
    recommendedAction: 'Use 1 to 8 parts of a-z 0-9 . _ - joined by /, none beginning with a dot.',
    context: {},
  }),
});

export type ObjectFacts = Readonly<Record<string, string | number>>;

/** A segment or digest object is not, byte for byte, what this item's process server or log processor wrote. */
export function corruptSegment(why: string, context: ObjectFacts, cause?: unknown): LeewardError {
  return new LeewardError({
    code: 'CorruptSegment',
    summary: `an object in cache storage is damaged: ${why}`,
    possibleCauses:
      'Bits flipped at rest, the object was cut off or altered in cache storage, or the item key is not the right one.',
    recommendedAction:
      'Check the storage under cache storage, then resynchronize the item. Earlier recovery points are not touched.',
    severity: 'critical',
    context,
    cause,
  });
}
