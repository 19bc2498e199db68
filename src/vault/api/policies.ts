/**
 * Replication policies: how often points are taken, how long they are kept, from which RPO on somebody is told. What a client
 * sent is given back field by field; times are minutes, as in the reference. Who wants points more often says so in seconds
 * under `leeward` in the `providerSpecificInput`, which is kept and not given back: a client that changes a policy without
 * knowing of it sends back what it was given, and must not lose a machine its points that way.
 */
import { z } from 'zod';
import { parse } from '../../platform/settings.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import * as items from '../store/protected-items.ts';
import type { Resource } from '../store/resources.ts';
import { errors } from './errors.ts';
import {
  allInVault,
  checkName,
  deleteRow,
  mustGet,
  type NounParts,
  pageOfVault,
  propertiesOf,
  putRow,
  resourceView,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';

export interface PolicyInput {
  readonly instanceType: string;
  readonly recoveryPointThresholdInMinutes?: number;
  /** InMageAzureV2 and InMage; minutes, whatever its name says. */
  readonly recoveryPointHistory?: number;
  readonly recoveryPointHistoryInMinutes?: number;
  readonly crashConsistentFrequencyInMinutes?: number;
  readonly appConsistentFrequencyInMinutes?: number;
  readonly multiVmSyncStatus?: string;
  readonly enableMultiVmSync?: string;
  /** `OwnTerms`. */
  readonly leeward?: unknown;
}

/** In seconds, and below the reference's least. */
const OwnTerms = z.strictObject({
  crashConsistentSeconds: z.number().min(1).max(3600).optional(),
  /** 0: none. */
  applicationConsistentSeconds: z.number().min(0).max(43_200).optional(),
});

/** What the product makes of a policy, whatever kind it is. */
export interface PolicyTerms {
  readonly retentionMinutes: number;
  readonly crashConsistentSeconds: number;
  /** 0: none. */
  readonly applicationConsistentSeconds: number;
  /** From here on an event is raised. */
  readonly rpoThresholdMinutes: number;
}

/** The reference's defaults where a client leaves a field out. */
export function policyTerms(input: PolicyInput): PolicyTerms {
  const own = parse(OwnTerms, input.leeward ?? {}, 'providerSpecificInput.leeward');
  return {
    retentionMinutes: input.recoveryPointHistoryInMinutes ?? input.recoveryPointHistory ?? 1440,
    crashConsistentSeconds: own.crashConsistentSeconds ?? (input.crashConsistentFrequencyInMinutes ?? 5) * 60,
    applicationConsistentSeconds:
      own.applicationConsistentSeconds ?? (input.appConsistentFrequencyInMinutes ?? 0) * 60,
    rpoThresholdMinutes: input.recoveryPointThresholdInMinutes ?? 15,
  };
}

/** `sent` with what an earlier client asked for in seconds, as long as the minutes beside it stay what they were. */
function withOwnTerms(sent: PolicyInput, before: PolicyInput | undefined): PolicyInput {
  if (sent.leeward !== undefined || before?.leeward === undefined) return sent;
  const { crashConsistentSeconds, applicationConsistentSeconds } = parse(
    OwnTerms,
    before.leeward,
    'providerSpecificInput.leeward',
  );
  const isSame = (field: keyof PolicyInput) => sent[field] === before[field];
  return {
    ...sent,
    leeward: {
      ...(isSame('crashConsistentFrequencyInMinutes') ? { crashConsistentSeconds } : {}),
      ...(isSame('appConsistentFrequencyInMinutes') ? { applicationConsistentSeconds } : {}),
    },
  };
}

/** Of a policy's row. */
export const policyInput = (row: Resource): PolicyInput =>
  row.properties.providerSpecificInput as PolicyInput;

/** Kinds of machines that this product replicates, and of their way home. */
const kinds = ['InMageAzureV2', 'InMageRcm', 'InMageRcmFailback', 'InMage'];

/** [field, least, most]: the reference's limits; 0 stands for none where it is allowed. */
const bounds: readonly (readonly [keyof PolicyInput, number, number, string])[] = [
  ['recoveryPointThresholdInMinutes', 1, 1440, 'a day'],
  ['recoveryPointHistory', 0, 21_600, '15 days'],
  ['recoveryPointHistoryInMinutes', 0, 21_600, '15 days'],
  ['crashConsistentFrequencyInMinutes', 1, 60, 'an hour'],
  ['appConsistentFrequencyInMinutes', 0, 720, '12 hours'],
];
/** More often, freezes would cost the machine more than they give. */
const applicationConsistentMinutesMin = 15;

function checkPolicy(input: PolicyInput): void {
  if (!kinds.includes(input.instanceType)) throw nounErrors.ProviderNotHere(input.instanceType, kinds);
  const wrong = (field: string, what: string) => errors.InvalidRequestContent(`${field} ${what}`, field);
  for (const [field, least, most, inWords] of bounds) {
    const value = input[field];
    if (value !== undefined && (Number(value) < least || Number(value) > most))
      throw wrong(field, `is ${value} but must be from ${least} to ${most} minutes (${inWords})`);
  }
  const every = input.appConsistentFrequencyInMinutes ?? 0;
  if (every !== 0 && every < applicationConsistentMinutesMin)
    throw wrong(
      'appConsistentFrequencyInMinutes',
      `is ${every} but must be 0 (none) or from ${applicationConsistentMinutesMin} to 720 minutes`,
    );
  const { retentionMinutes, crashConsistentSeconds } = policyTerms(input);
  if (retentionMinutes !== 0 && retentionMinutes * 60 < crashConsistentSeconds)
    throw wrong(
      'recoveryPointHistory',
      `of ${retentionMinutes} minutes is shorter than the ${crashConsistentSeconds / 60} minutes between two points`,
    );
  if (
    input.multiVmSyncStatus !== undefined &&
    !['enable', 'disable'].includes(input.multiVmSyncStatus.toLowerCase())
  )
    throw wrong('multiVmSyncStatus', 'must be Enable or Disable');
}

/** In the words that the reference's answers have. */
const syncWords: Readonly<Record<string, string>> = { enable: 'Enabled', disable: 'Disabled' };

export function policyView(row: Resource): unknown {
  const input = policyInput(row);
  return resourceView(row.id, {
    friendlyName: row.name,
    providerSpecificDetails: {
      ...known(input),
      ...(input.multiVmSyncStatus === undefined
        ? {}
        : { multiVmSyncStatus: syncWords[input.multiVmSyncStatus.toLowerCase()] }),
    },
  });
}

const fieldsByKind: Readonly<Record<string, readonly (keyof PolicyInput)[]>> = {
  InMageAzureV2: [
    'recoveryPointThresholdInMinutes',
    'recoveryPointHistory',
    'crashConsistentFrequencyInMinutes',
    'appConsistentFrequencyInMinutes',
    'multiVmSyncStatus',
  ],
  InMage: [
    'recoveryPointThresholdInMinutes',
    'recoveryPointHistory',
    'appConsistentFrequencyInMinutes',
    'multiVmSyncStatus',
  ],
  InMageRcm: [
    'recoveryPointHistoryInMinutes',
    'crashConsistentFrequencyInMinutes',
    'appConsistentFrequencyInMinutes',
    'enableMultiVmSync',
  ],
  InMageRcmFailback: ['crashConsistentFrequencyInMinutes', 'appConsistentFrequencyInMinutes'],
};

/** Without what a later client may have said: an answer has its model's fields only. */
function known(input: PolicyInput): Partial<PolicyInput> {
  return Object.fromEntries(
    ['instanceType' as const, ...(fieldsByKind[input.instanceType] ?? [])].flatMap((field) =>
      input[field] === undefined ? [] : [[field, input[field]]],
    ),
  );
}

export function policies(parts: NounParts): Handlers {
  const { resources } = parts;
  const idOf = (request: ArmRequest) =>
    childId(vaultOf(request), 'replicationPolicies', request.parameters.policyName!);
  return {
    'replicationPolicies.list': (request) => pageOfVault(parts, request, 'replicationPolicies', policyView),
    'replicationPolicies.get': async (request) => ({
      body: policyView(await mustGet(resources, idOf(request))),
    }),
    'replicationPolicies.create': async (request) => {
      checkName(request.parameters.policyName!);
      const { providerSpecificInput: sent } = propertiesOf<{ providerSpecificInput?: PolicyInput }>(request);
      if (sent === undefined)
        throw errors.InvalidRequestContent(
          'properties.providerSpecificInput is required',
          'providerSpecificInput',
        );
      const known = await resources.get(idOf(request));
      const input = withOwnTerms(sent, known && policyInput(known));
      checkPolicy(input);
      if (known !== undefined && policyInput(known).instanceType !== input.instanceType)
        throw nounErrors.ResourceExists(known.id, `of the kind ${policyInput(known).instanceType}`);
      return putRow(parts, request, 'policy', known?.id ?? idOf(request), { providerSpecificInput: input });
    },
    'replicationPolicies.update': async (request) => {
      const row = await mustGet(resources, idOf(request));
      const { replicationProviderSettings: changes } = propertiesOf<{
        replicationProviderSettings?: PolicyInput;
      }>(request);
      const before = policyInput(row);
      if (changes !== undefined && changes.instanceType !== before.instanceType)
        throw errors.InvalidRequestContent(
          `the policy is of the kind ${before.instanceType}, not ${changes.instanceType}`,
          'replicationProviderSettings.instanceType',
        );
      const input = withOwnTerms({ ...before, leeward: undefined, ...changes }, before);
      checkPolicy(input);
      return putRow(parts, request, 'policy', row.id, { providerSpecificInput: input });
    },
    'replicationPolicies.delete': async (request) => {
      const row = await resources.get(idOf(request));
      if (row === undefined) return { empty: true };
      const users = await items.count(parts.database, { policyId: row.id });
      if (users > 0) throw nounErrors.ResourceInUse(row.id, `${users} protected items`);
      const mappings = (
        await allInVault(resources, vaultOf(request), 'replicationProtectionContainerMappings')
      ).filter(({ properties }) => idKey(String(properties.policyId)) === idKey(row.id));
      if (mappings.length > 0) throw nounErrors.ResourceInUse(row.id, `the association ${mappings[0]!.id}`);
      return deleteRow(parts, request, 'policy', row.id);
    },
  };
}
