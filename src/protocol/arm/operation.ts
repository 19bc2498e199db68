/** An operation of the API, as data: what `description.ts` reads from the reference and `own-operations.ts` adds to it. */

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE' | 'HEAD';

export interface Operation {
  /** `<group>.<operation>`, unique over both APIs. */
  readonly id: string;
  /** `own`: described by neither of the reference's two documents (`own-operations.ts`). */
  readonly api: 'siteRecovery' | 'vaults' | 'own';
  readonly method: Method;
  /** `/subscriptions/{subscriptionId}/…`; parameters in braces, one segment each. */
  readonly path: string;
  readonly longRunning: boolean;
  readonly paged: boolean;
  /** Names of query parameters besides `api-version`. */
  readonly query: readonly string[];
  readonly statuses: readonly number[];
  /** Names of models. */
  readonly body: string | undefined;
  readonly response: string | undefined;
  /** Of a page's `value`. */
  readonly items: string | undefined;
  /** What a long-running operation ends with. */
  readonly result: string | undefined;
  /** The name that `@azure/arm-recoveryservices-siterecovery` 5.1.0 or `@azure/arm-recoveryservices` 6.0.0 gives it. */
  readonly npmName: string | undefined;
}
