/**
 * The API as the command line uses it: operations by id, the names of vault, resource group and subscription filled in
 * from the session, and what a thing lies in taken from its resource id.
 */
import type { Clock } from '../platform/clock.ts';
import { LeewardError } from '../platform/errors.ts';
import { ArmClient } from '../protocol/arm/client.ts';
import { type Operation, operations } from '../protocol/arm/description.ts';
import { ownOperations } from '../protocol/arm/own-operations.ts';
import { parseResourceId } from '../protocol/arm/resource-id.ts';
import { readText } from './input.ts';
import type { Session } from './session.ts';

/** One resource as the API writes it; deeper values are looked at with `at` (nouns/noun.ts). */
export interface Resource {
  readonly id?: string;
  readonly name?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
}

export interface ApiAnswer {
  readonly body: Resource;
  readonly jobId: string | undefined;
}

export class Api implements Disposable {
  readonly session: Session;
  readonly #client: ArmClient;

  constructor(session: Session, client: ArmClient) {
    this.session = session;
    this.#client = client;
  }

  static async connect(session: Session, clock: Clock, signal: AbortSignal): Promise<Api> {
    const ca =
      session.caFile === undefined
        ? undefined
        : await readText(
            session.caFile,
            "Sign in again with the file of the authority that signed the vault's certificate.",
          );
    return new Api(
      session,
      new ArmClient({
        url: session.url,
        ca,
        tenantId: session.tenantId,
        clientId: session.clientId,
        clientSecret: session.clientSecret,
        clock,
        signal,
      }),
    );
  }

  /** `parameters`: of the path, besides those that the session knows. */
  async call(
    operationId: string,
    parameters: Readonly<Record<string, string>> = {},
    options: { readonly query?: Readonly<Record<string, string | undefined>>; readonly body?: unknown } = {},
  ): Promise<ApiAnswer> {
    const operation = operationOf(operationId);
    const answer = await this.#client.request(operation.method, this.#pathOf(operation, parameters), options);
    return { body: (answer.body ?? {}) as Resource, jobId: answer.jobId };
  }

  /** A plain request, as `az rest` does. */
  async plain(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const answer = await this.#client.request(method, path, body === undefined ? {} : { body });
    return { body: (answer.body ?? {}) as Resource, jobId: answer.jobId };
  }

  /** Every row of every page. */
  async all(
    operationId: string,
    parameters: Readonly<Record<string, string>> = {},
    query: Readonly<Record<string, string | undefined>> = {},
    limit = Number.POSITIVE_INFINITY,
  ): Promise<Resource[]> {
    const rows: Resource[] = [];
    const path = this.#pathOf(operationOf(operationId), parameters);
    for await (const row of this.#client.pages(path, query)) {
      rows.push(row as Resource);
      if (rows.length >= limit) break;
    }
    return rows;
  }

  /** An operation on a resource that was listed. */
  on(resource: Resource, operationId: string, body?: unknown): Promise<ApiAnswer> {
    return this.call(
      operationId,
      this.parametersOf(resource, operationId),
      body === undefined ? {} : { body },
    );
  }

  /** Makes or changes the resource of this name directly under the vault. */
  put(operationId: string, name: string, body: unknown): Promise<ApiAnswer> {
    const own = parametersIn(operationOf(operationId).path).filter((key) => !(key in this.#known()));
    if (own.length !== 1) throw new Error(`${operationId} needs more than a name`);
    return this.call(operationId, { [own[0]!]: name }, { body });
  }

  /** The operation's parameters, out of the resource's id, level by level. */
  parametersOf(resource: Resource, operationId: string): Record<string, string> {
    const parsed = resource.id === undefined ? undefined : parseResourceId(resource.id);
    if (parsed === undefined) throw new Error(`${resource.id} is not an id of this vault`);
    const found: Record<string, string> = {};
    const segments = operationOf(operationId).path.split('/');
    for (const [index, segment] of segments.entries()) {
      const parameter = /^\{(.+)\}$/.exec(segment)?.[1];
      const type = segments[index - 1];
      const name = Object.entries(parsed.names).find(
        ([key]) => key.toLowerCase() === type?.toLowerCase(),
      )?.[1];
      if (parameter !== undefined && name !== undefined) found[parameter] = name;
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  #known(): Record<string, string | undefined> {
    const { subscriptionId, resourceGroup, vault } = this.session;
    return { subscriptionId, resourceGroupName: resourceGroup, resourceName: vault, vaultName: vault };
  }

  #pathOf(operation: Operation, parameters: Readonly<Record<string, string>>): string {
    const known: Readonly<Record<string, string | undefined>> = { ...this.#known(), ...parameters };
    return operation.path.replaceAll(/\{(.+?)\}/g, (_, name: string) => {
      const value = known[name];
      if (value !== undefined) return encodeURIComponent(value);
      if (name === 'resourceName' || name === 'vaultName')
        throw new LeewardError({
          code: 'NoVaultChosen',
          summary: 'it is not said which vault is meant',
          possibleCauses: 'The session names no vault.',
          recommendedAction:
            'Choose one with `leeward session set --vault <name>`; `leeward vault list` shows them.',
        });
      throw new LeewardError({
        code: 'ParameterMissing',
        summary: `${operation.id} needs ${name}`,
        possibleCauses: 'The operation works on one thing, and it was not said which.',
        recommendedAction: `Add --parameter ${name}=NAME; its path is ${operation.path}`,
      });
    });
  }
}

/** Operations named when one is misspelt. */
const nearMax = 30;

const operationsById = new Map(
  [...operations, ...ownOperations].map((operation) => [operation.id, operation]),
);

export function operationOf(id: string): Operation {
  const found = operationsById.get(id);
  if (found !== undefined) return found;
  // By how the noun begins: `replicationPolicys`, `policies`.
  const [noun = ''] = id
    .toLowerCase()
    .replace(/^replication/, '')
    .split('.');
  const near = [...operationsById.keys()].filter(
    (known) =>
      noun !== '' &&
      known
        .toLowerCase()
        .replace(/^replication/, '')
        .startsWith(noun.slice(0, 5)),
  );
  throw new LeewardError({
    code: 'OperationUnknown',
    summary: `there is no operation ${id}`,
    possibleCauses: 'It is misspelt; capital and small letters count.',
    recommendedAction:
      near.length === 0
        ? 'Look it up in docs/api/operations.md.'
        : `There are: ${near.slice(0, nearMax).join(', ')}${near.length > nearMax ? ', …' : ''}`,
  });
}

export const parametersIn = (path: string): string[] =>
  [...path.matchAll(/\{(.+?)\}/g)].map((match) => match[1]!);
