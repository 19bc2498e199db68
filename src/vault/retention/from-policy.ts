/** How long a replication policy keeps points, as the rules that thin them. */
import type { RetentionPolicy } from '../store/vault-store.ts';
import { defaultRetention } from './plan.ts';

/** The reference's rules, cut at the age that is asked for. 0 is its "latest only": the newest point is never dropped. */
export function retentionOf(minutes: number): RetentionPolicy {
  const untilSeconds = Math.max(1, minutes * 60);
  const younger = defaultRetention.rules.filter((rule) => rule.untilSeconds < untilSeconds);
  const next = defaultRetention.rules.find((rule) => rule.untilSeconds >= untilSeconds);
  return {
    rules: [
      ...younger,
      { untilSeconds, everySeconds: (next ?? defaultRetention.rules.at(-1)!).everySeconds },
    ],
  };
}
