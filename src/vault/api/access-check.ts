/** What the API asks of `vault/access`, once for each request. */
import type { Operation } from '../../protocol/arm/description.ts';
import type { Principal } from '../access/principal.ts';

export interface AccessCheck {
  /**
   * `authorization`: the header as it came, or undefined. Throws `AuthenticationFailed`, `ExpiredAuthenticationToken`, …
   * (401, with `WWW-Authenticate`).
   */
  authenticate(authorization: string | undefined): Promise<Principal>;
  /** `resourceId`: the scope that is touched. Throws `AuthorizationFailed` (403). */
  authorize(principal: Principal, operation: Operation, resourceId: string): Promise<void>;
}

/** A write that was tried, with what came of it. */
export interface AuditedWrite {
  readonly principal: Principal;
  readonly operationId: string;
  readonly resourceId: string;
  readonly status: number;
  /** Of the refusal. */
  readonly code: string | undefined;
  /** Of the job that it started. */
  readonly jobId: string | undefined;
  readonly correlationId: string;
  readonly clientRequestId: string;
  readonly from: string;
}
export type Audit = (write: AuditedWrite) => Promise<void>;
