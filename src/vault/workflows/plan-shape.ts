/** A recovery plan as its workflows read it: from the row that a client put, frozen in the job's log. */
import { z } from 'zod';
import { parse } from '../../platform/settings.ts';
import type { Json } from '../jobs/workflow.ts';
import type { Resources } from '../store/resources.ts';

const Action = z.object({
  actionName: z.string(),
  failoverTypes: z.array(z.string()),
  failoverDirections: z.array(z.string()),
  customDetails: z.object({
    instanceType: z.string(),
    path: z.string().nullish(),
    runbookId: z.string().nullish(),
    timeout: z.string().nullish(),
    fabricLocation: z.string().nullish(),
    description: z.string().nullish(),
  }),
});
export type PlanAction = z.infer<typeof Action>;

/** Clients leave lists out, or say null. */
const listOf = <T extends z.ZodType>(one: T) =>
  z
    .array(one)
    .nullish()
    .transform((list) => list ?? []);

const Group = z.object({
  groupType: z.enum(['Shutdown', 'Failover', 'Boot']),
  replicationProtectedItems: listOf(z.object({ id: z.string() })),
  startGroupActions: listOf(Action),
  endGroupActions: listOf(Action),
});
export type PlanGroup = z.infer<typeof Group>;

export const PlanShape = z.object({
  id: z.string(),
  name: z.string(),
  primaryFabricId: z.string(),
  groups: z.array(Group),
});
export type PlanShape = z.infer<typeof PlanShape>;

/** As it is kept now; undefined: there is none (any more). */
export function planReader(
  resources: Pick<Resources, 'get'>,
): (id: string) => Promise<PlanShape | undefined> {
  return async (id) => {
    const row = await resources.get(id);
    if (row === undefined) return undefined;
    const { primaryFabricId, groups } = row.properties;
    return parse(
      PlanShape,
      { id: row.id, name: row.name, primaryFabricId, groups },
      `the recovery plan ${row.name}`,
    );
  };
}

/** Undefined before the step that reads it has given it. */
export function planOf(outputs: Readonly<Record<string, Json>>): PlanShape | undefined {
  return outputs.ReadPlan === undefined ? undefined : PlanShape.parse(outputs.ReadPlan);
}

/** `600`, `00:10:00` and `PT10M` are ten minutes each; undefined: none of the three. */
export function actionSeconds(text: string): number | undefined {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  const clock = /^(\d{1,3}):([0-5]\d):([0-5]\d)$/.exec(text);
  if (clock) return Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  const period = /^PT(?=\d)(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?$/i.exec(text);
  if (period) return Number(period[1] ?? 0) * 3600 + Number(period[2] ?? 0) * 60 + Number(period[3] ?? 0);
  return undefined;
}
