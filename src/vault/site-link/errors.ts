/** What a site is told when it asks for what it may not have, or in the wrong order. */
import { catalogue } from '../../platform/errors.ts';

export const siteLinkErrors = catalogue({
  SiteCertificateMissing: (why: string) => ({
    summary: `the caller did not prove which site it is: ${why}`,
    possibleCauses: 'Its certificate is of another vault or has run out, or a proxy in between ends TLS.',
    recommendedAction:
      'Register the configuration server with a new key; connect it to the vault without a proxy.',
    severity: 'critical' as const,
    context: { status: 401 },
  }),
  NotASite: (commonName: string) => ({
    summary: `the certificate of ${commonName.slice(0, 100)} is not a site's`,
    possibleCauses: 'A process server’s or a machine’s certificate was given to the configuration server.',
    recommendedAction: 'Register the configuration server with a key of this vault.',
    severity: 'critical' as const,
    context: { status: 403 },
  }),
  SiteUnknown: () => ({
    summary: 'the vault does not know this site (any more)',
    possibleCauses:
      'Its fabric was removed at the vault, or the vault was restored from before it registered.',
    recommendedAction: 'Register the configuration server with a new key.',
    severity: 'critical' as const,
    context: { status: 403 },
  }),
  ReportOutOfOrder: (index: number, wanted: number) => ({
    summary: `page ${index} of a report came when page ${wanted} was wanted`,
    possibleCauses: 'Two configuration servers have this site’s certificate, or a page was lost.',
    recommendedAction: 'Nothing: the site begins its report anew. If it repeats, stop the copy.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { status: 409, index, wanted },
  }),
  ProcessServerOfAnotherSite: (processServerId: string) => ({
    summary: `the process server ${processServerId} belongs to another site`,
    possibleCauses: 'The machine was copied, or was enrolled at another configuration server before.',
    recommendedAction: 'Remove the process server’s state folder and enrol it anew.',
    context: { status: 409, processServerId },
  }),
  OrderExpired: (orderId: string, expiresAt: string) => ({
    summary: `the site did not do what it was asked by ${expiresAt}`,
    possibleCauses:
      'The configuration server does not run or cannot reach the vault, or the machine did not answer.',
    recommendedAction: 'Look at the site’s heartbeat and at its configuration server, then try again.',
    retry: 'transient' as const,
    context: { orderId, expiresAt },
  }),
  OrderIdTaken: (orderId: string) => ({
    summary: `the order ${orderId} was placed before with other content`,
    possibleCauses: 'A defect of the workflow that placed it.',
    recommendedAction: 'Report it with the vault’s log.',
    context: { orderId },
  }),
});
