/**
 * Who has which role where, with the reference's paths and bodies: `az role assignment list | create | delete` and
 * `az role definition list`. The roles are those of `access/roles.ts`; there are no custom ones.
 *
 *     PUT {subscription | resource group | vault}/providers/Microsoft.Authorization/roleAssignments/{guid}
 *
 * Promises: an assignment holds from the next call on. The last owner of the subscription cannot be taken away.
 */
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Access } from '../access/access.ts';
import { errors as accessErrors } from '../access/errors.ts';
import { roleAssignmentsMax } from '../access/limits.ts';
import { type RoleDefinition, roleDefinitions, scopeCovers } from '../access/roles.ts';
import type { Principals } from '../store/principals.ts';
import type { RoleAssignment, RoleAssignments } from '../store/role-assignments.ts';
import { wrongBody } from './body.ts';
import { errors } from './errors.ts';
import type { ArmAnswer, ArmRequest, Handler, Handlers } from './operation.ts';

export interface AuthorizationParts {
  readonly assignments: RoleAssignments;
  readonly principals: Principals;
  readonly access: Access;
  readonly subscriptionId: string;
  readonly clock: Clock;
}

const provider = 'providers/Microsoft.Authorization';

const AssignmentBody = z.looseObject({
  properties: z.looseObject({
    roleDefinitionId: z.string().max(500),
    principalId: z.guid(),
    principalType: z.string().nullish(),
    condition: z.string().nullish(),
  }),
});

export function authorizationHandlers(parts: AuthorizationParts): Handlers {
  const { assignments, principals, access, subscriptionId, clock } = parts;
  const root = `/subscriptions/${subscriptionId}`;

  const list = async (request: ArmRequest): Promise<ArmAnswer> => {
    const scope = scopeOf(request, root);
    const filter = filterOf(request.query.get('$filter'));
    const all = await assignments.list(roleAssignmentsMax);
    const shown = all.filter(
      (one) =>
        (filter.principalId === undefined || one.principalId === filter.principalId) &&
        // At the scope, around it (inherited), and below it unless only the scope itself was asked for.
        (scopeCovers(one.scope, scope) || (!filter.atScope && scopeCovers(scope, one.scope))),
    );
    const kinds = new Map<string, string>();
    for (const { principalId } of shown)
      if (!kinds.has(principalId))
        kinds.set(principalId, kindOf((await principals.byObjectId(principalId))?.kind));
    return { page: shown.map((one) => renderAssignment(one, kinds.get(one.principalId)!, root)) };
  };

  const find = async (request: ArmRequest): Promise<RoleAssignment> => {
    const id = request.parameters.roleAssignmentName!;
    const row = await assignments.byId(id);
    const scope = scopeOf(request, root);
    if (row === undefined || row.scope !== scope.toLowerCase()) throw accessErrors.RoleAssignmentNotFound(id);
    return row;
  };

  const create = async (request: ArmRequest): Promise<ArmAnswer> => {
    const name = request.parameters.roleAssignmentName!.toLowerCase();
    if (!z.guid().safeParse(name).success)
      throw errors.InvalidRequestContent('the name of a role assignment is a GUID', 'roleAssignmentName');
    const body = AssignmentBody.safeParse(request.body);
    if (!body.success) throw wrongBody(body.error);
    const { roleDefinitionId, principalId, principalType, condition } = body.data.properties;
    if (condition) throw errors.InvalidRequestContent('conditions are not supported', 'properties.condition');
    const definition = definitionOf(roleDefinitionId.split('/').at(-1)!);
    const scope = scopeOf(request, root);
    const principal = await principals.byObjectId(principalId);
    // Somebody of another issuer has no row before a role; whoever says that it is a person is believed.
    if (principal === undefined && principalType?.toLowerCase() !== 'user')
      throw accessErrors.PrincipalNotFound(principalId);
    const kind = principal?.kind ?? 'ForeignPrincipal';
    const assignment: RoleAssignment = {
      assignmentId: name,
      scope: scope.toLowerCase(),
      role: definition.role,
      principalId: principalId.toLowerCase(),
      createdAt: new Date(clock.now()).toISOString(),
      createdBy: request.principal.objectId,
    };
    const shown = (one: RoleAssignment) => renderAssignment(one, kindOf(kind), root);
    if (!(await assignments.add(assignment))) {
      const there = await assignments.byId(name);
      const same =
        there?.scope === assignment.scope &&
        there.role === assignment.role &&
        there.principalId === assignment.principalId;
      if (!same) throw accessErrors.RoleAssignmentExists();
      return { body: shown(there), created: false };
    }
    return { body: shown(assignment), created: true };
  };

  const get = async (request: ArmRequest): Promise<ArmAnswer> => {
    const row = await find(request);
    const principal = await principals.byObjectId(row.principalId);
    return { body: renderAssignment(row, kindOf(principal?.kind), root) };
  };

  const remove = async (request: ArmRequest): Promise<ArmAnswer> => {
    const id = request.parameters.roleAssignmentName!;
    const row = await assignments.byId(id);
    // As the reference: what is not there is 204, so that a script may run twice.
    if (row === undefined || row.scope !== scopeOf(request, root).toLowerCase()) return { empty: true };
    if (row.role === 'Owner' && !(await access.hasOtherOwner({ assignmentId: row.assignmentId })))
      throw accessErrors.PrincipalIsLastOwner();
    const principal = await principals.byObjectId(row.principalId);
    await assignments.remove(row.assignmentId);
    return { body: renderAssignment(row, kindOf(principal?.kind), root) };
  };

  const listDefinitions = async ({ query }: ArmRequest): Promise<ArmAnswer> => {
    const name = /roleName\s+eq\s+'((?:[^']|'')*)'/i.exec(query.get('$filter') ?? '')?.[1];
    return {
      page: roleDefinitions
        .filter(({ role }) => name === undefined || role.toLowerCase() === name.toLowerCase())
        .map((definition) => renderDefinition(definition, root)),
    };
  };
  const getDefinition = async ({ parameters }: ArmRequest): Promise<ArmAnswer> => ({
    body: renderDefinition(definitionOf(parameters.roleDefinitionId!), root),
  });

  const handlers: Record<string, Handler> = {
    'roleDefinitions.getById': getDefinition,
  };
  for (const at of ['Subscription', 'ResourceGroup', 'Vault']) {
    handlers[`roleAssignments.listAt${at}`] = list;
    handlers[`roleAssignments.getAt${at}`] = get;
    handlers[`roleAssignments.createAt${at}`] = create;
    handlers[`roleAssignments.deleteAt${at}`] = remove;
    handlers[`roleDefinitions.listAt${at}`] = listDefinitions;
    handlers[`roleDefinitions.getAt${at}`] = getDefinition;
  }
  return handlers;
}

/** What is before `/providers/Microsoft.Authorization`. */
function scopeOf({ vaultId, parameters }: ArmRequest, root: string): string {
  if (vaultId !== undefined) return vaultId;
  return parameters.resourceGroupName === undefined
    ? root
    : `${root}/resourceGroups/${parameters.resourceGroupName}`;
}

function filterOf(text: string | null): {
  readonly atScope: boolean;
  readonly principalId: string | undefined;
} {
  const given = text ?? '';
  const principalId = /(?:principalId\s+eq\s+|assignedTo\(\s*)'([^']+)'/i.exec(given)?.[1]?.toLowerCase();
  return { atScope: /\batScope\(\)/i.test(given), principalId };
}

function definitionOf(id: string): RoleDefinition {
  const found = roleDefinitions.find((one) => one.id === id.toLowerCase());
  if (found === undefined) throw accessErrors.RoleDefinitionDoesNotExist(id);
  return found;
}

const kindOf = (kind: string | undefined): string =>
  kind === 'ForeignPrincipal' ? 'User' : kind === undefined ? 'Unknown' : 'ServicePrincipal';

function renderAssignment(one: RoleAssignment, principalType: string, root: string): unknown {
  const definition = roleDefinitions.find(({ role }) => role === one.role)!;
  // Scopes are kept in lower case; the words of the path are given back as everywhere.
  const scope = one.scope
    .replace('/resourcegroups/', '/resourceGroups/')
    .replace('/providers/microsoft.recoveryservices/', '/providers/Microsoft.RecoveryServices/');
  return {
    id: `${scope}/${provider}/roleAssignments/${one.assignmentId}`,
    name: one.assignmentId,
    type: 'Microsoft.Authorization/roleAssignments',
    properties: {
      scope,
      roleDefinitionId: `${root}/${provider}/roleDefinitions/${definition.id}`,
      principalId: one.principalId,
      principalType,
      createdOn: one.createdAt,
      updatedOn: one.createdAt,
      createdBy: one.createdBy,
      updatedBy: one.createdBy,
      condition: null,
      conditionVersion: null,
      delegatedManagedIdentityResourceId: null,
      description: null,
    },
  };
}

function renderDefinition({ id, role, description, actions, added }: RoleDefinition, root: string): unknown {
  return {
    id: `${root}/${provider}/roleDefinitions/${id}`,
    name: id,
    type: 'Microsoft.Authorization/roleDefinitions',
    properties: {
      roleName: role,
      type: 'BuiltInRole',
      description,
      assignableScopes: ['/'],
      permissions: [{ actions: [...actions, ...added], notActions: [], dataActions: [], notDataActions: [] }],
    },
  };
}
