/**
 * What the REST API refuses by itself, in the reference's codes, and the one way in which any error becomes an answer:
 * `statusOf` chooses the status, `envelope` the body. Nothing else in the vault knows of statuses.
 */
import { catalogue, LeewardError } from '../../platform/errors.ts';

export const errors = catalogue({
  MissingApiVersionParameter: () => ({
    summary: 'The api-version query parameter (?api-version=) is required for all requests.',
    possibleCauses: 'The URL was written by hand, or a link was cut off.',
    recommendedAction: 'Add an api-version, e.g. ?api-version=2025-08-01. Any version is answered.',
  }),
  InvalidResourceType: (path: string) => ({
    summary: `The path ${path} names no resource type of this vault's API.`,
    possibleCauses: 'A segment is misspelt or missing, or the path belongs to another service.',
    recommendedAction: 'Compare the path with the operations in /openapi.json.',
    context: { path },
  }),
  MethodNotAllowed: (method: string, allowed: string) => ({
    summary: `The method ${method} is not allowed here; allowed: ${allowed}.`,
    possibleCauses: 'The operation exists with another method.',
    recommendedAction: `Use one of: ${allowed}.`,
    context: { method, allowed },
  }),
  InvalidRequestPath: () => ({
    summary: 'The path of the request cannot be decoded.',
    possibleCauses: 'A percent sign is not followed by two hexadecimal digits, or the bytes are not UTF-8.',
    recommendedAction: 'Percent-encode each name in the path as UTF-8.',
  }),
  MalformedRequest: (what: string, status = 400) => ({
    summary: `This is no request that can be answered: ${what}.`,
    possibleCauses: 'A client written by hand, or a proxy that cuts requests off.',
    recommendedAction: 'Send an HTTP/1.1 request with a usual client, e.g. curl or an SDK.',
    context: { status },
  }),
  UnsupportedMediaType: (encoding: string) => ({
    summary: `The body of the request is encoded as ${encoding}.`,
    possibleCauses: 'The client compresses what it sends.',
    recommendedAction: 'Send the body as it is, without Content-Encoding.',
    context: { status: 415 },
  }),
  InvalidRequestContent: (what: string, target?: string) => ({
    summary: what,
    possibleCauses: 'A property is missing, misspelt or of the wrong type.',
    recommendedAction: 'Correct the property named in the message; /openapi.json describes all of them.',
    context: { target },
  }),
  InvalidQueryParameter: (name: string, what: string) => ({
    summary: `The query parameter ${name} is not valid: ${what}.`,
    possibleCauses: 'It was written by hand, or belongs to another list.',
    recommendedAction: 'Correct it, or follow the nextLink of the page before without changing it.',
    context: { target: name },
  }),
  RequestEntityTooLarge: (bytes: number) => ({
    summary: `The body of a request has at most ${bytes} bytes.`,
    possibleCauses: 'Too many resources were put into one request.',
    recommendedAction: 'Split the request.',
  }),
  SubscriptionNotFound: (subscription: string) => ({
    summary: `The subscription '${subscription}' could not be found.`,
    possibleCauses: 'This vault serves one subscription, and the request names another.',
    recommendedAction: 'List it with GET /subscriptions, and use its id.',
    context: { subscription },
  }),
  ResourceGroupNotFound: (name: string) => ({
    summary: `Resource group '${name}' could not be found.`,
    possibleCauses: 'Its name is misspelt, or it was deleted.',
    recommendedAction: 'List them with GET /subscriptions/{id}/resourcegroups.',
    context: { name },
  }),
  ResourceNotFound: (type: string, name: string, within: string) => ({
    summary: `The Resource '${type}/${name}' under ${within} was not found.`,
    possibleCauses: 'Its name is misspelt, it was deleted, or it was never made.',
    recommendedAction: 'List the resources of this type and use a name from there.',
    context: { type, name },
  }),
  InvalidResourceName: (name: string, rule: string) => ({
    summary: `The resource name '${name}' is invalid: ${rule}.`,
    possibleCauses: 'The name has a character or a length that such names must not have.',
    recommendedAction: `Choose another name: ${rule}.`,
    context: { target: 'name', name },
  }),
  InvalidResourceLocation: (name: string, location: string) => ({
    summary: `The resource '${name}' already exists in location '${location}'.`,
    possibleCauses: 'It was made in another location, and a resource does not move.',
    recommendedAction: `Use the location '${location}', or another name.`,
    context: { name, location, status: 409 },
  }),
  PreconditionFailed: (name: string, what = 'was changed since the etag of the request was read') => ({
    summary: `The resource '${name}' ${what}.`,
    possibleCauses: 'Somebody else changed it in between, or the condition was written for another resource.',
    recommendedAction: 'Read it again, apply the change to what it is now, and send that.',
    context: { name },
  }),
  VaultNotEmpty: (name: string, occupants: readonly string[], more: boolean) => ({
    summary: `Vault '${name}' cannot be deleted: there are existing resources within it: ${occupants.join(', ')}${more ? ', and others' : ''}.`,
    possibleCauses: 'Machines are protected with it, or sites are registered to it.',
    recommendedAction:
      'Disable the protection of its items, remove its recovery plans and its fabrics, then delete it again.',
    context: { name },
  }),
  SoftDeleteAlwaysOn: (name: string) => ({
    summary: `Soft delete of vault '${name}' is always on: it cannot be disabled.`,
    possibleCauses:
      'The vault was made with soft delete always on, which is what a vault gets that says nothing of it.',
    recommendedAction: 'Leave it on, or make a new vault with softDeleteState Disabled from the beginning.',
    context: { name, target: 'properties.securitySettings.softDeleteSettings.softDeleteState', status: 409 },
  }),
  ResourceGroupNotEmpty: (name: string, vaults: readonly string[]) => ({
    summary: `Resource group '${name}' cannot be deleted: it has the vaults ${vaults.join(', ')}.`,
    possibleCauses: 'A vault with protected machines must not go by the way.',
    recommendedAction: 'Delete its vaults first.',
    context: { name },
  }),
  VaultNameInUse: (name: string) => ({
    summary: `There is a vault '${name}' in that resource group already.`,
    possibleCauses: 'It was made after the other one had been deleted.',
    recommendedAction: 'Bring the deleted vault back to another resource group.',
    context: { name },
  }),
  InvalidCertificate: (why: string) => ({
    summary: `The certificate is not valid: ${why}.`,
    possibleCauses: 'It is no X.509 certificate in base64, or it has expired.',
    recommendedAction: 'Send the public part of a certificate, DER in base64, without the private key.',
    context: { target: 'properties.certificate' },
  }),
  OperationNotFound: (id: string) => ({
    summary: `There is no operation ${id} here.`,
    possibleCauses: 'The link belongs to another vault, or the job was trimmed from the history.',
    recommendedAction: "Look among the vault's jobs.",
    context: { id },
  }),
  JobCancelled: (id: string) => ({
    summary: `The operation ${id} was cancelled.`,
    possibleCauses: 'Somebody cancelled its job.',
    recommendedAction: 'Start it again.',
    context: { id },
  }),
  OperationNotSupported: (what: string, causes: string, action: string) => ({
    summary: what,
    possibleCauses: causes,
    recommendedAction: action,
  }),
  TooManyRequests: (max: number) => ({
    summary: `More than ${max} requests of one caller are under way.`,
    possibleCauses: 'A script asks for many things at once.',
    recommendedAction: 'Ask again after the seconds that Retry-After names.',
    retry: 'transient' as const,
  }),
  ServerBusy: () => ({
    summary: 'The vault has as many requests under way as it works on at once.',
    possibleCauses: 'Many clients came at once.',
    recommendedAction: 'Ask again after the seconds that Retry-After names.',
    retry: 'transient' as const,
  }),
  InternalServerError: (requestId: string) => ({
    summary: 'The vault met a fault of its own while it worked on this request.',
    possibleCauses: 'A defect of the vault; its log has the details.',
    recommendedAction: `Look in the vault's log for request ${requestId}, and report it.`,
    context: { requestId },
  }),
});

/** By code; codes of other houses too, where the reference has a status of its own for them. */
const statusByCode: Readonly<Record<string, number>> = {
  AuthenticationFailed: 401,
  AuthenticationFailedMissingToken: 401,
  AuthenticationFailedInvalidHeader: 401,
  InvalidAuthenticationToken: 401,
  InvalidAuthenticationTokenTenant: 401,
  InvalidAuthenticationTokenAudience: 401,
  ExpiredAuthenticationToken: 401,
  AuthorizationFailed: 403,
  InvalidResourceType: 404,
  MethodNotAllowed: 405,
  RequestEntityTooLarge: 413,
  TooManyRequests: 429,
  ServerBusy: 503,
  InternalServerError: 500,
  // The part of the vault that would do it is not set up: not the caller's path is wrong.
  WorkflowUnknown: 400,
  TargetIsBusy: 409,
  PrincipalIsLastOwner: 409,
  ItemAlreadyProtected: 409,
  VaultNotEmpty: 409,
  ResourceGroupNotEmpty: 409,
  JobNotCancelable: 409,
  JobNotSuspended: 409,
  JobNotRestartable: 409,
  PreconditionFailed: 412,
  DatabaseUnreachable: 503,
};

/** Names that say it themselves, so that a new code of a noun needs no row above. */
const statusByName: readonly (readonly [RegExp, number])[] = [
  [/^(Invalid|Expired)?Authentication/, 401],
  [/(NotFound|Unknown|Gone|DoesNotExist)$/, 404],
  [/(InUse|IsBusy|AlreadyExists|Exists|NotEmpty|Conflict|NotAllowed|InProgress)$/, 409],
];

/** An error may also say its status itself, in `context.status`. */
export function statusOf(error: LeewardError): number {
  const own = error.context.status;
  if (typeof own === 'number' && own >= 400 && own <= 599) return own;
  const known = statusByCode[error.code];
  if (known !== undefined) return known;
  for (const [pattern, status] of statusByName) if (pattern.test(error.code)) return status;
  return error.retry === 'transient' ? 503 : 400;
}

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly target?: string;
  readonly details: readonly {
    readonly code: string;
    readonly message: string;
    readonly possibleCauses: string;
    readonly recommendedAction: string;
    readonly clientRequestId: string;
    readonly activityId: string;
  }[];
}

/** The reference's `{error: …}`. `activityId`: the correlation id, which the audit trail and the jobs have too. */
export function envelope(
  error: Pick<LeewardError, 'code' | 'summary' | 'possibleCauses' | 'recommendedAction'> & {
    readonly context?: LeewardError['context'];
  },
  ids: { readonly clientRequestId: string; readonly correlationId: string },
): { readonly error: ErrorBody } {
  const target = error.context?.target;
  return {
    error: {
      code: error.code,
      message: error.summary,
      ...(typeof target === 'string' ? { target } : {}),
      details: [
        {
          code: error.code,
          message: error.summary,
          possibleCauses: error.possibleCauses,
          recommendedAction: error.recommendedAction,
          clientRequestId: ids.clientRequestId,
          activityId: ids.correlationId,
        },
      ],
    },
  };
}

/** What a caller may see of an unknown fault: nothing but where to look. */
export function shown(error: unknown, requestId: string): LeewardError {
  return error instanceof LeewardError ? error : errors.InternalServerError(requestId);
}
