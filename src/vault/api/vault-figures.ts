/** A vault in numbers, for `replicationUsages` and `usages`: counted where the rows are, in a handful of statements. */
import { idKey } from '../../protocol/arm/resource-id.ts';
import * as conditions from '../store/conditions.ts';
import * as items from '../store/protected-items.ts';
import * as sites from '../store/sites.ts';
import type { NounParts } from './noun.ts';
import { silentMilliseconds } from './site-reader.ts';
import type { VaultFigures } from './vault-details.ts';

/** Conditions looked through for how many items are unhealthy; beyond that the number says "very many". */
const conditionsMax = 10_000;

export async function vaultFigures(
  { database, resources, clock }: NounParts,
  vaultId: string,
): Promise<VaultFigures> {
  const [count, raised, registered, plans, jobs] = await Promise.all([
    items.count(database, { vaultId }),
    conditions.raisedInVault(database, vaultId, conditionsMax),
    sites.list(database, idKey(vaultId)),
    resources.inVault(vaultId, 'replicationRecoveryPlans', { limit: 1000 }),
    database.rows('SELECT state, COUNT(*) AS number FROM jobs WHERE vault_id = ? GROUP BY state', [
      idKey(vaultId),
    ]),
  ]);
  const isBad = ({ condition }: conditions.RaisedCondition) => condition.severity !== 'Information';
  const jobsIn = (...states: readonly string[]) =>
    jobs.reduce((sum, row) => sum + (states.includes(String(row.state)) ? Number(row.number) : 0), 0);
  return {
    protectedItemCount: count,
    unhealthyItemCount: new Set(
      raised.filter((one) => isBad(one) && /\/replicationProtectedItems\//i.test(one.id)).map(({ id }) => id),
    ).size,
    recoveryPlanCount: plans.resources.length,
    registeredServerCount: registered.length,
    unhealthyServerCount: registered.filter(
      ({ lastReportAt, registeredAt }) =>
        clock.now() - Date.parse(lastReportAt ?? registeredAt) > silentMilliseconds,
    ).length,
    failedJobCount: jobsIn('Failed'),
    suspendedJobCount: jobsIn('Suspended'),
    runningJobCount: jobsIn('NotStarted', 'InProgress'),
    eventCount: raised.length,
  };
}
