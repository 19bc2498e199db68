/** All nouns under a vault, for whoever puts the server together (`router.ts` sees to it that none is missing). */
import { containerMappings } from './container-mappings.ts';
import { events } from './events.ts';
import { fabrics } from './fabrics.ts';
import { itemDetails } from './item-details.ts';
import { jobs } from './jobs.ts';
import type { NounParts } from './noun.ts';
import { vaultOf } from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { policies } from './policies.ts';
import { protectableItems } from './protectable-items.ts';
import { protectedItems } from './protected-items.ts';
import { recoveryPlans } from './recovery-plans.ts';
import { recoveryPoints } from './recovery-points.ts';
import { SiteReader } from './site-reader.ts';
import { siteResources } from './site-resources.ts';
import { vaultWide } from './vault-wide.ts';
import { vmwareSites } from './vmware-sites.ts';

export function nounsOfVault(parts: NounParts): Handlers[] {
  return [
    policies(parts),
    fabrics(parts),
    containerMappings(parts),
    siteResources(parts),
    protectableItems(parts),
    protectedItems(parts),
    recoveryPoints(parts),
    itemDetails(parts),
    recoveryPlans(parts),
    jobs(parts),
    events(parts),
    vaultWide(parts),
    vmwareSites(parts),
  ];
}

/** For operations that are refused: throws 404 when the fabric or container of the path is not there. */
export function mustExist(parts: Pick<NounParts, 'database' | 'resources'>) {
  const sites = new SiteReader(parts);
  return async (request: ArmRequest): Promise<void> => {
    const { fabricName, protectionContainerName } = request.parameters;
    if (fabricName === undefined || request.vaultId === undefined) return;
    if (protectionContainerName === undefined) await sites.fabric(vaultOf(request), fabricName);
    else await sites.container(vaultOf(request), fabricName, protectionContainerName);
  };
}
