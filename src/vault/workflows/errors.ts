/** What can go wrong in a workflow itself, with cause and action. */
import { catalogue } from '../../platform/errors.ts';

export const errors = catalogue({
  NoRecoveryPoint: (item: string, wish: string) => ({
    summary: `${item} has no recovery point for "${wish}"`,
    possibleCauses:
      wish === 'latestApplicationConsistent'
        ? 'No application-consistent point was taken yet, or retention removed it.'
        : 'The initial replication is not complete yet.',
    recommendedAction: 'Look at: leeward points <item>. Wait for one, or choose another.',
    retry: 'transient' as const,
    context: { item },
  }),
  TestFailoverUnknown: (failoverId: string) => ({
    summary: `there is no test failover ${failoverId}`,
    possibleCauses: 'The id is misspelt.',
    recommendedAction: 'List them with: leeward failovers.',
    context: { failoverId },
  }),
  TestFailoverInterrupted: (machineName: string) => ({
    summary: `the vault stopped while it was starting ${machineName}; the test was undone`,
    possibleCauses: 'The vault or its host was restarted.',
    recommendedAction: 'Start the test failover again.',
    retry: 'transient' as const,
    context: { machineName },
  }),
});
