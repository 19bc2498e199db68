/**
 * A look at a device that may not answer: it ends within its limit, and a device whose last look has not come back is not looked
 * at again, since each look keeps a thread until the kernel lets it go.
 */
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { errors } from '../errors.ts';
import { openDiskMilliseconds } from '../limits.ts';

const pending = new Map<string, Promise<unknown>>();

/** Throws `DiskSilent`. `late`: what is done with an answer that nobody waits for any more. */
export async function inTime<T>(
  path: string,
  clock: Clock,
  work: () => Promise<T>,
  late: (answer: T) => Promise<void> = async () => {},
): Promise<T> {
  const silent = (): Error => errors.DiskSilent(path, openDiskMilliseconds / 1000);
  if (pending.has(path)) throw silent();
  const working = work();
  let isLate = false;
  pending.set(path, working);
  const over = (): void => {
    pending.delete(path);
  };
  working.then(
    async (answer) => {
      over();
      // What closing a device that nobody waits for comes to is of no interest.
      if (isLate) await late(answer).catch(() => {});
    },
    // Told to whoever waits.
    over,
  );
  return withDeadline(clock, openDiskMilliseconds, working, () => {
    isLate = true;
    return silent();
  });
}
