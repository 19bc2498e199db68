/** Calls every operation that `@azure/arm-recoveryservices-siterecovery` has, by its description. */
import type { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { type Operation, operations } from '../../src/protocol/arm/description.ts';
import { sampleOf } from './samples.ts';

export const sdkOperations = operations.filter(
  ({ api, npmName }) => api === 'siteRecovery' && npmName !== undefined,
);

/** A job that does not end must not keep the test from saying so. */
const waitMilliseconds = 120_000;

/** What the SDK answers: a resource, a list of all pages, or nothing. */
export async function callBySdk(
  client: SiteRecoveryManagementClient,
  operation: Operation,
  names: (parameter: string, operation: Operation) => string,
  body: unknown = operation.body === undefined ? undefined : sampleOf(operation.body, { forRequest: true }),
): Promise<unknown> {
  const [group, method] = operation.npmName!.split('.') as [string, string];
  const noun = (client as unknown as Record<string, Record<string, (...args: unknown[]) => unknown>>)[group];
  if (noun === undefined) throw new Error(`the SDK has no ${group}`);
  const name = operation.longRunning ? `begin${method[0]!.toUpperCase()}${method.slice(1)}AndWait` : method;
  if (typeof noun[name] !== 'function') throw new Error(`the SDK has no ${group}.${name}`);
  const parameters = [...operation.path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]!);
  const first = ['resourceName', 'resourceGroupName'].filter((one) => parameters.includes(one));
  const rest = parameters.filter((one) => !['subscriptionId', ...first].includes(one));
  const args = [
    ...[...first, ...rest].map((parameter) => names(parameter, operation)),
    ...(body === undefined ? [] : [body]),
    ...(operation.longRunning
      ? [{ updateIntervalInMs: 1, abortSignal: AbortSignal.timeout(waitMilliseconds) }]
      : []),
  ];
  const answer = noun[name](...args);
  if (!operation.paged) return answer;
  const found: unknown[] = [];
  for await (const one of answer as AsyncIterable<unknown>) found.push(one);
  return found;
}
