/**
 * What the reference API consists of: every operation and every model, as data. `description/*.json` was read from the
 * public packages and documents of Site Recovery's api-version 2025-08-01 and of the vaults' 2026-11-01; routes, schemas,
 * types, the OpenAPI document and the tests of conformity are all made from these four files, so they cannot disagree.
 *
 * A request: method and path → `matchOperation` → operation id (`replicationProtectedItems.testFailover`) → handler.
 */
import siteRecoveryOperations from './description/site-recovery-operations.json' with { type: 'json' };
import vaultOperations from './description/vault-operations.json' with { type: 'json' };
import type { Method, Operation } from './operation.ts';
import { ownOperations } from './own-operations.ts';

export type { Method, Operation } from './operation.ts';

interface Described {
  readonly group: string;
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  readonly longRunning: boolean;
  readonly paged: boolean;
  readonly query?: readonly string[];
  readonly statuses: readonly number[];
  readonly body?: string;
  readonly response?: string;
  readonly items?: string;
  readonly result?: string;
  readonly npmName?: string;
}

const read = (api: Operation['api'], rows: readonly Described[]): Operation[] =>
  rows.map((row) => ({
    // Both APIs have `operations.list`; the vaults' is that of the whole provider.
    id:
      api === 'vaults' && row.group === 'operations'
        ? 'provider.listOperations'
        : `${row.group.replaceAll(' ', '')}.${row.operation}`,
    api,
    method: row.method as Method,
    path: row.path,
    longRunning: row.longRunning,
    paged: row.paged,
    query: row.query ?? [],
    statuses: row.statuses,
    body: row.body,
    response: row.response,
    items: row.items,
    result: row.result,
    npmName: row.npmName,
  }));

/** The reference's. */
export const operations: readonly Operation[] = [
  ...read('vaults', vaultOperations as readonly Described[]),
  ...read('siteRecovery', siteRecoveryOperations as readonly Described[]),
];

interface Route {
  readonly operation: Operation;
  readonly pattern: RegExp;
  readonly names: readonly string[];
}

const routesByMethod = new Map<string, Route[]>();
for (const operation of [...operations, ...ownOperations]) {
  const names: string[] = [];
  const pattern = operation.path
    .split('/')
    .map((segment) => {
      const name = /^\{(.+)\}$/.exec(segment)?.[1];
      if (name === undefined) return segment.replaceAll('.', '\\.');
      names.push(name);
      return '([^/]+)';
    })
    .join('/');
  const routes = routesByMethod.get(operation.method) ?? [];
  routes.push({ operation, pattern: new RegExp(`^${pattern}/?$`, 'i'), names });
  routesByMethod.set(operation.method, routes);
}
// A literal segment wins over a parameter: `…/default` before `…/{name}`.
const parameterCount = (route: Route) => route.names.length;
for (const routes of routesByMethod.values()) routes.sort((a, b) => parameterCount(a) - parameterCount(b));

export interface OperationMatch {
  readonly operation: Operation;
  /** By the names in the path, percent-decoded. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Of the operations that the path has with other methods. */
export function methodsOf(path: string): Method[] {
  return [...routesByMethod]
    .filter(([, routes]) => routes.some(({ pattern }) => pattern.test(path)))
    .map(([method]) => method as Method);
}

/**
 * `path`: as it came, percent-encoded, without the query. Case does not matter, as in the reference. Undefined: no such
 * operation, or an encoding that does not decode.
 */
export function matchOperation(method: string, path: string): OperationMatch | undefined {
  for (const { operation, pattern, names } of routesByMethod.get(method) ?? []) {
    const match = pattern.exec(path);
    if (!match) continue;
    try {
      return {
        operation,
        parameters: Object.fromEntries(
          names.map((name, index) => [name, decodeURIComponent(match[index + 1]!)]),
        ),
      };
    } catch {
      return undefined;
    }
  }
  return undefined;
}
