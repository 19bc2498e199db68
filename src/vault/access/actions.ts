/**
 * The name of what an operation does, as roles speak of it:
 *
 *     POST …/vaults/{v}/replicationFabrics/{f}/checkConsistency  ─▶  Microsoft.RecoveryServices/vaults/replicationFabrics/checkConsistency/action
 *     GET  …/vaults/{v}                                          ─▶  Microsoft.RecoveryServices/vaults/read
 *     PUT  /subscriptions/{s}/resourceGroups/{g}                 ─▶  Microsoft.Resources/subscriptions/resourceGroups/write
 *
 * One function from method and path, so that a new operation has its name without anybody giving it one.
 */

/** `path`: a template or a real path, without the query. */
export function actionOf(method: string, path: string): string {
  const at = path.toLowerCase().lastIndexOf('/providers/');
  const segments = (at < 0 ? path : path.slice(at + '/providers/'.length)).split('/').filter(Boolean);
  const provider = at < 0 ? 'Microsoft.Resources' : (segments.shift() ?? '');
  // A POST ends in its verb; what is before it is types and names in turn, as everywhere.
  const verb = method === 'POST' ? segments.pop() : undefined;
  const types = segments.filter((_, index) => index % 2 === 0);
  if (verb !== undefined) return [provider, ...types, verb, 'action'].join('/');
  return [provider, ...types, verbs[method] ?? 'action'].join('/');
}

const verbs: Readonly<Record<string, string>> = {
  GET: 'read',
  HEAD: 'read',
  PUT: 'write',
  PATCH: 'write',
  DELETE: 'delete',
};
