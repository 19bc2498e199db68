/** Who asks: the subject of a checked token, with what it may do. */

/** The reference's built-in roles, by its names. `Owner` is what `make vault` gives its first service principal. */
export type Role = 'Owner' | 'Site Recovery Contributor' | 'Site Recovery Operator' | 'Site Recovery Reader';

export interface Principal {
  /** `oid` of the token. */
  readonly objectId: string;
  readonly tenantId: string;
  /** `appid` of a service principal; undefined for a person. */
  readonly applicationId: string | undefined;
  readonly displayName: string;
  /** Role assignments: a role at a scope, the resource id of a subscription, resource group or vault, in lower case. */
  readonly roles: readonly { readonly role: Role; readonly scope: string }[];
}
