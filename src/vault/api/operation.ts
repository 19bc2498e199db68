/**
 * What a handler of the REST API is given and what it answers. Handlers validate and render; they write intent (a row, a
 * job) and return. One file in `api/` per noun, each exporting its `handlers` by operation id (`protocol/arm/description.ts`).
 *
 *     koa ─▶ request ids ─▶ match ─▶ who asks (access) ─▶ may they ─▶ body against its model ─▶ handler ─▶ audit ─▶ answer
 */
import type { Operation } from '../../protocol/arm/description.ts';
import type { Principal } from '../access/principal.ts';

export interface ArmRequest<Body = unknown> {
  readonly operation: Operation;
  /** By the names in the operation's path. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Of the vault in the path, as it was made; undefined where the path has none. It exists, except for `vaults.*`. */
  readonly vaultId: string | undefined;
  /**
   * What the path names, in the constant case: for `…/replicationPolicies/p` that id, for `…/p/testFailover` it too.
   * Names below the vault are spelt as the request spells them; the row knows how it was made.
   */
  readonly resourceId: string;
  /** Checked against the operation's body model. */
  readonly body: Body;
  readonly principal: Principal;
  /** `x-ms-client-request-id`, or one made here. */
  readonly clientRequestId: string;
  /** `x-ms-correlation-request-id`; in every audit entry and job. */
  readonly correlationId: string;
}

export type ArmAnswer =
  /** 200, or 201 where something was created. `underWay`: with `Retry-After`, because the next time it says something else. */
  | { readonly body: unknown; readonly created?: boolean; readonly underWay?: boolean }
  /** A page; `next` becomes `nextLink` with `$skipToken` (or the operation's own name for it). */
  | { readonly page: readonly unknown[]; readonly next?: string | undefined }
  /** 202 with `Azure-AsyncOperation`, `Location` and `Retry-After`, all with the job's id. */
  | { readonly jobId: string }
  /** The same where there is no job to look at: `statusPath` answers the operation's state, without host and query. */
  | { readonly accepted: { readonly statusPath: string; readonly resultPath: string } }
  /** 204. */
  | { readonly empty: true };

export type Handler = (request: ArmRequest) => Promise<ArmAnswer>;
export type Handlers = Readonly<Record<string, Handler>>;
