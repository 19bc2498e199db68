/**
 * Changes of resources that are nothing but rows: policies, mappings, plans, vCenters, … In the reference each of them is a
 * long-running operation with a job, so each is one here, though it ends at once.
 *
 *     remember (what was there) ──▶ write, or remove ──▶ Succeeded
 *                                     failed: what was remembered is put back
 *
 * The handler has validated the intent; this writes it as it was sent. A fabric that is removed takes its site with it: from
 * then on the site's certificate opens nothing.
 */
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/mysql.ts';
import { idKey } from '../../protocol/arm/resource-id.ts';
import { policyInput, policyTerms } from '../api/policies.ts';
import { errors } from '../errors.ts';
import type { Json, SomeWorkflow, Step, Wait, Workflow } from '../jobs/workflow.ts';
import { healthMilliseconds } from '../limits.ts';
import { retentionOf } from '../retention/from-policy.ts';
import { raisedInVault } from '../store/conditions.ts';
import type { Properties, Resources } from '../store/resources.ts';
import * as sites from '../store/sites.ts';
import type { RetentionPolicy } from '../store/vault-store.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const PutInput = z.strictObject({ id: z.string().max(1500), properties: z.record(z.string(), z.unknown()) });
type PutInput = z.infer<typeof PutInput>;
const DeleteInput = z.strictObject({ id: z.string().max(1500) });
type DeleteInput = z.infer<typeof DeleteInput>;
const RefreshInput = z.strictObject({ id: z.string().max(1500), askedAt: z.iso.datetime() });
type RefreshInput = z.infer<typeof RefreshInput>;

export interface ResourceChangeParts {
  readonly resources: Resources;
  readonly clock: Clock;
  readonly sites: {
    /** Of the site of a fabric; undefined: there is none, or it never reported. */
    lastReportAt(fabricId: string): Promise<string | undefined>;
    /** From now on its certificate opens nothing. Silent when there is no site. */
    close(fabricId: string): Promise<void>;
  };
  /** All that is protected with the policy. */
  readonly applyRetention: (policyId: string, retention: RetentionPolicy) => Promise<void>;
  /** How many conditions hold in a vault. */
  readonly countConditions: (vaultId: string) => Promise<number>;
  /** How often the health reconciler looks at everything; tests say 0. */
  readonly healthMilliseconds?: number;
}

/** With everything in its tables. */
export function resourceChangeParts(
  database: Database,
  resources: Resources,
  clock: Clock,
): ResourceChangeParts {
  const siteOf = (fabricId: string) =>
    sites.byName(database, fabricId.split('/').slice(0, 9).join('/').toLowerCase(), lastSegment(fabricId));
  return {
    resources,
    clock,
    sites: {
      lastReportAt: async (fabricId) => (await siteOf(fabricId))?.lastReportAt,
      close: async (fabricId) => {
        const site = await siteOf(fabricId);
        if (site) await sites.remove(database, site.siteId, new Date(clock.now()).toISOString());
      },
    },
    applyRetention: async (policyId, retention) => {
      await database.change(
        'UPDATE protected_items SET retention = ? WHERE item_id IN (SELECT item_id FROM item_resources WHERE policy_key = ?)',
        [JSON.stringify(retention), idKey(policyId)],
      );
    },
    countConditions: async (vaultId) => (await raisedInVault(database, vaultId, conditionsMax)).length,
  };
}

// ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Workflow's noun, `scenarioName`, what a person reads. */
const puts = [
  ['policy', 'AddProtectionProfile', 'Save replication policy'],
  ['fabric', 'AddFabric', 'Save site'],
  ['provider', 'AddProvider', 'Save recovery services provider'],
  ['container-mapping', 'PairProtectionContainers', 'Associate replication policy'],
  ['vcenter', 'AddVCenter', 'Save vCenter'],
  ['storage-mapping', 'PairStorageClassification', 'Map storage classification'],
  ['recovery-plan', 'SaveRecoveryPlan', 'Save recovery plan'],
] as const;

const deletes = [
  ['policy', 'RemoveProtectionProfile', 'Delete replication policy'],
  ['fabric', 'RemoveFabric', 'Remove site'],
  ['provider', 'RemoveProvider', 'Remove recovery services provider'],
  ['container-mapping', 'UnpairProtectionContainers', 'Dissociate replication policy'],
  ['vcenter', 'RemoveVCenter', 'Remove vCenter'],
  ['storage-mapping', 'UnpairStorageClassification', 'Remove storage classification mapping'],
  ['recovery-plan', 'DeleteRecoveryPlan', 'Delete recovery plan'],
] as const;

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function resourceChanges(parts: ResourceChangeParts): SomeWorkflow[] {
  const made: SomeWorkflow[] = [];
  for (const [noun, scenarioName, friendlyName] of puts)
    made.push({
      name: `put-${noun}`,
      scenarioName,
      friendlyName,
      input: PutInput,
      steps: () => [
        { name: 'Remember', title: 'Looking at what is there', where: 'database', do: remember(parts) },
        {
          name: 'Write',
          title: friendlyName,
          where: 'database',
          do: async ({ input }: { input: PutInput }) => {
            await parts.resources.put(input.id, input.properties);
            return undefined;
          },
          undo: putBack(parts),
        },
        ...(noun === 'policy' ? [applyPolicy(parts)] : []),
      ],
      cancelable: false,
    } satisfies Workflow<PutInput>);
  for (const [noun, scenarioName, friendlyName] of deletes)
    made.push({
      name: `delete-${noun}`,
      scenarioName,
      friendlyName,
      input: DeleteInput,
      steps: () => [
        { name: 'Remember', title: 'Looking at what is there', where: 'database', do: remember(parts) },
        {
          name: 'Remove',
          title: friendlyName,
          where: 'database',
          do: async ({ input }: { input: DeleteInput }) => {
            await parts.resources.deleteTree(input.id);
            return undefined;
          },
          undo: putBack(parts),
        },
        ...(noun === 'fabric' ? [closeSite(parts)] : []),
      ],
      cancelable: false,
    } satisfies Workflow<DeleteInput>);
  made.push(refreshSite(parts), refreshHealth(parts));
  return made;
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Context {
  readonly input: { readonly id: string };
  readonly outputs: Readonly<Record<string, Json>>;
}

/** Rows of the resource and of what lies in it, the resource first. */
type Remembered = readonly { readonly id: string; readonly properties: Json }[];

const remember =
  ({ resources }: ResourceChangeParts) =>
  async ({ input }: Context): Promise<Json> => {
    const own = await resources.get(input.id);
    const rows = own === undefined ? [] : [own, ...(await resources.descendants(input.id))];
    return rows.map(({ id, properties }) => ({ id, properties: properties as Json }));
  };

const putBack =
  ({ resources }: Pick<ResourceChangeParts, 'resources'>) =>
  async ({ input, outputs }: Context): Promise<void> => {
    const rows = (outputs.Remember ?? []) as Remembered;
    if (rows.length === 0) await resources.deleteTree(input.id);
    for (const { id, properties } of rows) await resources.put(id, properties as Properties);
  };

/** What is protected with the policy keeps its points as long as the policy says from now on. */
function applyPolicy({ applyRetention, resources }: ResourceChangeParts): Step<PutInput> {
  const apply = async (id: string): Promise<void> => {
    const row = await resources.get(id);
    if (row === undefined) return;
    const { retentionMinutes } = policyTerms(policyInput(row));
    await applyRetention(id, retentionOf(retentionMinutes));
  };
  return {
    name: 'ApplyRetention',
    title: 'Telling what is protected with it',
    where: 'database',
    do: async ({ input }) => {
      await apply(input.id);
      return undefined;
    },
    // Undone before the row is put back, so it is put back here first.
    undo: async (context) => {
      const [before] = (context.outputs.Remember ?? []) as Remembered;
      if (before === undefined) return;
      await putBack({ resources })(context);
      await apply(context.input.id);
    },
  };
}

function closeSite(parts: ResourceChangeParts): Step<DeleteInput> {
  return {
    name: 'CloseSite',
    title: "Ending the site's access",
    where: 'site',
    do: async ({ input }) => {
      await parts.sites.close(input.id);
      return undefined;
    },
  };
}

/** A site that works reports at least once a minute; three of them missed are no accident. */
const refreshLimitMilliseconds = 180_000;
const refreshLookMilliseconds = 2_000;

/** Waits for a report of the site that is newer than the wish for it. */
function refreshSite({ clock, ...parts }: ResourceChangeParts): Workflow<RefreshInput> {
  return {
    name: 'refresh-site',
    scenarioName: 'RefreshProvider',
    friendlyName: 'Refresh the site’s report',
    input: RefreshInput,
    steps: () => [
      {
        name: 'AwaitReport',
        title: 'Waiting for the next report of the site',
        where: 'site',
        do: async ({ input }): Promise<Json | Wait> => {
          const fabricId = input.id.split('/').slice(0, 11).join('/');
          const lastReportAt = await parts.sites.lastReportAt(fabricId);
          if (lastReportAt !== undefined && lastReportAt > input.askedAt) return { reportedAt: lastReportAt };
          if (clock.now() - Date.parse(input.askedAt) > refreshLimitMilliseconds)
            throw errors.SiteSilent(lastSegment(fabricId), refreshLimitMilliseconds / 1000, lastReportAt);
          return { wait: 'time', until: new Date(clock.now() + refreshLookMilliseconds).toISOString() };
        },
      },
    ],
    cancelable: true,
  };
}

/**
 * Health is looked at by a standing duty (`reconcilers/health.ts`). A refresh waits until it has looked at everything once
 * more, and says how many conditions hold.
 */
function refreshHealth({
  countConditions,
  clock,
  healthMilliseconds: interval = healthMilliseconds,
}: ResourceChangeParts): Workflow<DeleteInput> {
  return {
    name: 'refresh-vault-health',
    scenarioName: 'RefreshVaultHealth',
    friendlyName: 'Refresh the vault’s health',
    input: DeleteInput,
    steps: () => [
      {
        name: 'Look',
        title: 'Looking at everything in the vault',
        where: 'database',
        do: async ({ input, startedAt }): Promise<Json | Wait> => {
          const until = Date.parse(startedAt) + interval;
          if (clock.now() < until) return { wait: 'time', until: new Date(until).toISOString() };
          return { conditionCount: await countConditions(input.id) };
        },
      },
    ],
    cancelable: true,
  };
}

/** Beyond that the number says "very many". */
const conditionsMax = 10_000;

const lastSegment = (id: string): string => id.split('/').at(-1) ?? '';
