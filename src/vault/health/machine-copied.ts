/** The condition of an item whose machine has a copy: its site refused that one, and says so in its reports. */
import type { HealthCondition } from './conditions.ts';

export interface MachineCopy {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly firstSeenAt: string;
}

/** Three by name; how many there are is said, too. */
const namedMax = 3;

export function machineCopied(name: string, copies: readonly MachineCopy[]): HealthCondition[] {
  const [first] = copies;
  if (first === undefined) return [];
  const told = copies
    .slice(0, namedMax)
    .map(
      (copy) => `${copy.name} (${copy.addresses.slice(0, 4).join(', ')}), first seen at ${copy.firstSeenAt}`,
    );
  const rest = copies.length > namedMax ? `, and ${copies.length - namedMax} more` : '';
  return [
    {
      code: 'MachineCopied',
      category: 'Replication',
      severity: 'Warning',
      summary:
        `a copy of ${name} is running with its identity and was refused: ${told.join('; ')}${rest}`.slice(
          0,
          2000,
        ),
      possibleCauses:
        'The machine was cloned, or made from a template on which the mobility service was enrolled already; or a backup of it was restored as a second machine.',
      recommendedAction:
        'Nothing of the copy enters the recovery points, and the machine goes on. On the copy: leeward-mobility-service enrol --configuration-server HOST --key-file FILE, then systemctl restart leeward-mobility: it becomes a machine of its own. Or remove the mobility service from it.',
      context: {
        copies: copies.length,
        hostName: first.name,
        address: first.addresses[0] ?? '',
        firstSeenAt: first.firstSeenAt,
      },
      sustainSeconds: 0,
    },
  ];
}
