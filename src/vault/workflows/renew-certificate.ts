/**
 * A site gets a new key and a new certificate now, instead of in the last third of the old one's life: when a copy of the
 * configuration server may have fallen into other hands, or to see that renewing works. The site makes the key, so nothing of
 * it goes over the line; this job orders it and waits for the answer, which says when the new certificate ends.
 */
import { z } from 'zod';
import type { Workflow } from '../jobs/workflow.ts';
import { siteOrder } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

/** The site asks for orders all the time; what takes longer than this is a site that is away. */
const renewSeconds = 300;

export const RenewCertificateInput = z.strictObject({
  /** Of the fabric. */
  id: z.string().max(1500),
});
export type RenewCertificateInput = z.infer<typeof RenewCertificateInput>;

export function renewCertificate(
  parts: Pick<WorkflowParts, 'orders' | 'clock' | 'sites'>,
): Workflow<RenewCertificateInput> {
  return {
    name: 'renew-certificate',
    scenarioName: 'RenewCertificate',
    friendlyName: 'Renew the site’s certificate',
    input: RenewCertificateInput,
    cancelable: true,
    steps: () => [
      siteOrder(parts, {
        name: 'Renew',
        title: 'Waiting for the site to renew its certificate',
        timeoutSeconds: renewSeconds,
        what: async ({ input }) => {
          const segments = input.id.split('/');
          const siteId = await parts.sites.siteOf({
            vaultId: segments.slice(0, 9).join('/'),
            fabricName: segments[10] ?? '',
          });
          return siteId === undefined ? undefined : { siteId, content: { order: 'renew-certificate' } };
        },
      }),
    ],
  };
}
