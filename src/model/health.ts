/** What is wrong, in the fields of the reference API's HealthError. Made from a `LeewardError`; travels to the vault. */
import { z } from 'zod';

export const HealthEvent = z.strictObject({
  code: z.string().max(80),
  severity: z.enum(['information', 'warning', 'error', 'critical']),
  summary: z.string().max(2000),
  possibleCauses: z.string().max(2000),
  recommendedAction: z.string().max(2000),
  /** ISO 8601 UTC. */
  raisedAt: z.iso.datetime(),
  context: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
export type HealthEvent = z.infer<typeof HealthEvent>;
