/** Why a registration is refused; each kind of bad key has its own code. The site shows them as they are. */
import { catalogue } from '../../platform/errors.ts';
import { clockDifferenceMillisecondsMax } from '../../protocol/control/site-link.ts';

const newKey = 'Download a new key from the vault and register with it.';

export const registrationErrors = catalogue({
  RegistrationKeyUnknown: () => ({
    summary: 'this vault has not issued this registration key',
    possibleCauses: 'The key is of another vault, or this vault was restored from before it was issued.',
    recommendedAction: newKey,
    context: { status: 403 },
  }),
  RegistrationKeyRevoked: (revokedAt: string) => ({
    summary: `the registration key was revoked at ${revokedAt}`,
    possibleCauses: 'Somebody at the vault took it back.',
    recommendedAction: newKey,
    context: { status: 403, revokedAt },
  }),
  RegistrationKeyUsed: (usedAt: string) => ({
    summary: `the registration key was used at ${usedAt} by another configuration server`,
    possibleCauses:
      'A key registers one configuration server. This one was set up anew, or the key has fallen into other hands.',
    recommendedAction: `${newKey} If you did not use the key yourself, remove the fabric that was registered with it.`,
    context: { status: 403, usedAt },
  }),
  RegistrationKeySuperseded: (supersededAt: string) => ({
    summary: `a newer registration key was issued at ${supersededAt}`,
    possibleCauses: 'Of the keys of a vault only the newest is good.',
    recommendedAction: 'Use the newest key, or download a new one.',
    context: { status: 403, supersededAt },
  }),
  SiteClockOff: (siteNow: string, vaultNow: string) => ({
    summary: `the clock of the configuration server says ${siteNow}, that of the vault ${vaultNow}: more than ${clockDifferenceMillisecondsMax / 60_000} minutes apart`,
    possibleCauses: 'One of the machines does not synchronize its clock, or was resumed from a snapshot.',
    recommendedAction:
      'Correct the clock that is wrong (chrony, ntpd), then register again with the same key.',
    context: { status: 403, siteNow, vaultNow },
  }),
  SiteNameTaken: (fabricName: string) => ({
    summary: `the vault already has a site named ${fabricName}`,
    possibleCauses: 'The configuration server was set up anew, or two have the same name.',
    recommendedAction: 'Remove the fabric at the vault, or take a key for another fabric name.',
    context: { status: 409, fabricName },
  }),
  VaultIsGone: (vaultId: string) => ({
    summary: 'the vault of this registration key is not there any more',
    possibleCauses: 'It was deleted.',
    recommendedAction: 'Download a key from a vault that exists.',
    context: { status: 403, vaultId },
  }),
});
