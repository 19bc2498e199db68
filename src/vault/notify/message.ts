/** Changes of health as people and programs are told them: one message for many changes, so that a storm is one mail. */
import type { HealthChange } from '../store/conditions.ts';

/** Listed in one message; the rest is a number. A thousand machines behind one cut line are one cause. */
export const listedMax = 50;

export interface Message {
  readonly subject: string;
  readonly text: string;
}

/** `vault`: its name. `url`: of the vault, for the reader to go to. */
export function messageOf(vault: string, url: string, changes: readonly HealthChange[]): Message {
  const raised = changes.filter(({ kind }) => kind === 'Raised');
  const cleared = changes.filter(({ kind }) => kind === 'Cleared');
  const worst = raised.find(({ condition }) => condition.severity === 'Critical') ?? raised[0];
  const subject =
    worst === undefined
      ? `[Leeward ${vault}] resolved: ${cleared[0]!.condition.code} of ${cleared[0]!.name}${more(cleared.length)}`
      : `[Leeward ${vault}] ${worst.condition.severity}: ${worst.condition.code} of ${worst.name}${more(raised.length)}`;
  const lines = [
    ...raised
      .slice(0, listedMax)
      .flatMap(({ condition, name, at }) => [
        `${condition.severity} ${condition.code} of ${name}, ${at}`,
        `  ${condition.summary}`,
        `  possible causes: ${condition.possibleCauses}`,
        `  what to do: ${condition.recommendedAction}`,
        '',
      ]),
    ...(raised.length > listedMax ? [`and ${raised.length - listedMax} more`, ''] : []),
    ...cleared
      .slice(0, listedMax)
      .map(({ condition, name, at }) => `resolved ${condition.code} of ${name}, ${at}`),
    ...(cleared.length > listedMax ? [`and ${cleared.length - listedMax} more resolved`] : []),
    '',
    `vault ${vault} at ${url}`,
  ];
  // A subject is one line, whatever a machine is called.
  return { subject: subject.replaceAll(/[\r\n]+/g, ' ').slice(0, 200), text: `${lines.join('\n').trim()}\n` };
}

const more = (count: number): string => (count > 1 ? ` and ${count - 1} more` : '');

/** The body of a webhook; its form is in docs/operations/health.md. */
export function webhookBody(vaultId: string, changes: readonly HealthChange[]): string {
  return JSON.stringify({
    version: 1,
    vaultId,
    changes: changes.map(({ changeId, kind, id, name, at, condition }) => ({
      changeId,
      kind,
      at,
      objectId: id,
      objectName: name,
      code: condition.code,
      category: condition.category,
      severity: condition.severity,
      summary: condition.summary,
      possibleCauses: condition.possibleCauses,
      recommendedAction: condition.recommendedAction,
    })),
  });
}
