/**
 * Operations by the names that roles are written in: `Microsoft.RecoveryServices/vaults/replicationPolicies/write`. GET is
 * `read`, PUT and PATCH `write`, DELETE `delete`, and a POST its own verb with `action`.
 */
import type { Operation } from './description.ts';

export function actionOf(operation: Pick<Operation, 'method' | 'path'>): string {
  const [, provider, rest] = /\/providers\/([^/]+)(?:\/(.*))?$/.exec(operation.path) ?? [];
  const segments = (rest ?? operation.path.replace(/^\/subscriptions\/\{[^}]+\}\/?/, ''))
    .split('/')
    .filter((segment) => segment !== '' && !segment.startsWith('{'));
  const owner = provider ?? 'Microsoft.Resources/subscriptions';
  const verb = { GET: 'read', HEAD: 'read', PUT: 'write', PATCH: 'write', DELETE: 'delete', POST: 'action' }[
    operation.method
  ];
  return [owner, ...segments, verb].join('/');
}
