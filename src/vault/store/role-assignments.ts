/** Who has which role where. A scope is the resource id of a subscription, resource group or vault, in lower case. */
import { z } from 'zod';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { iso } from './rows.ts';

export const RoleAssignment = z.strictObject({
  assignmentId: z.guid(),
  scope: z.string().startsWith('/').max(500),
  role: z.enum(['Owner', 'Site Recovery Contributor', 'Site Recovery Operator', 'Site Recovery Reader']),
  principalId: z.guid(),
  createdAt: z.iso.datetime(),
  createdBy: z.guid(),
});
export type RoleAssignment = z.infer<typeof RoleAssignment>;

export interface RoleAssignments {
  /** False: this principal has this role at this scope, or the id is taken. */
  add(assignment: RoleAssignment): Promise<boolean>;
  byId(assignmentId: string): Promise<RoleAssignment | undefined>;
  ofPrincipal(principalId: string): Promise<RoleAssignment[]>;
  /** All of them: one tenant has tens, at most `limit`. */
  list(limit: number): Promise<RoleAssignment[]>;
  remove(assignmentId: string): Promise<boolean>;
}

const columns = 'assignment_id, scope, role, principal_id, created_at, created_by';

export function roleAssignments(session: Session): RoleAssignments {
  return {
    add: async (assignment) =>
      (await session.change(`INSERT IGNORE INTO role_assignments (${columns}) VALUES (?, ?, ?, ?, ?, ?)`, [
        assignment.assignmentId.toLowerCase(),
        assignment.scope.toLowerCase(),
        assignment.role,
        assignment.principalId.toLowerCase(),
        new Date(assignment.createdAt),
        assignment.createdBy,
      ])) > 0,
    byId: async (assignmentId) => {
      const [row] = await session.rows(`SELECT ${columns} FROM role_assignments WHERE assignment_id = ?`, [
        assignmentId.toLowerCase(),
      ]);
      return row && assignmentOf(row);
    },
    ofPrincipal: async (principalId) =>
      (
        await session.rows(`SELECT ${columns} FROM role_assignments WHERE principal_id = ?`, [
          principalId.toLowerCase(),
        ])
      ).map(assignmentOf),
    list: async (limit) =>
      (
        await session.rows(`SELECT ${columns} FROM role_assignments ORDER BY scope, assignment_id LIMIT ?`, [
          limit,
        ])
      ).map(assignmentOf),
    remove: async (assignmentId) =>
      (await session.change('DELETE FROM role_assignments WHERE assignment_id = ?', [
        assignmentId.toLowerCase(),
      ])) > 0,
  };
}

function assignmentOf(row: Row): RoleAssignment {
  const record = {
    assignmentId: row.assignment_id,
    scope: row.scope,
    role: row.role,
    principalId: row.principal_id,
    createdAt: iso(row.created_at),
    createdBy: row.created_by,
  };
  return parse(RoleAssignment, record, 'role_assignments');
}
