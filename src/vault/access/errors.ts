/** What access refuses, in the reference's codes. None of them says whether a principal exists. */
import { catalogue } from '../../platform/errors.ts';

/** `authorizationUri`: where a token is to be had; the API puts it into `WWW-Authenticate`. */
export const errors = catalogue({
  AuthenticationFailed: (authorizationUri: string) => ({
    summary: "Authentication failed. The 'Authorization' header is missing.",
    possibleCauses: 'The client is not signed in.',
    recommendedAction: 'Sign in, and send the access token as Authorization: Bearer.',
    context: { authorizationUri },
  }),
  AuthenticationFailedInvalidHeader: (authorizationUri: string) => ({
    summary: "Authentication failed. The 'Authorization' header is provided in an invalid format.",
    possibleCauses: 'The header is not "Bearer" and a token, or the token is too long.',
    recommendedAction: 'Send the access token as Authorization: Bearer.',
    context: { authorizationUri },
  }),
  InvalidAuthenticationToken: (why: string, authorizationUri: string) => ({
    summary: `The access token is invalid: ${why}.`,
    possibleCauses: 'It was altered, issued by somebody else, or its principal was disabled or removed.',
    recommendedAction: 'Sign in again at this vault or at an issuer that it trusts.',
    context: { authorizationUri },
  }),
  InvalidAuthenticationTokenAudience: (audience: string, allowed: string, authorizationUri: string) => ({
    summary: `The access token has been obtained for the audience '${audience}' or resource of another service. Allowed: '${allowed}'.`,
    possibleCauses: 'The token was asked for another scope than this vault.',
    recommendedAction: `Ask for the scope ${allowed}/.default.`,
    context: { authorizationUri },
  }),
  ExpiredAuthenticationToken: (at: string, authorizationUri: string) => ({
    summary: `The access token expiry UTC time '${at}' is earlier than the current UTC time.`,
    possibleCauses: 'It is older than an hour, or the clocks differ.',
    recommendedAction: 'Ask for a new one; check the clocks of both machines.',
    context: { authorizationUri },
  }),
  AuthorizationFailed: (client: string, objectId: string, action: string, scope: string) => ({
    summary: `The client '${client}' with object id '${objectId}' does not have authorization to perform action '${action}' over scope '${scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.`,
    possibleCauses: 'Its roles do not have this action, or it has them at another scope.',
    recommendedAction: 'Let an owner assign it a role that has the action (docs/api/roles.md).',
    context: { objectId, action, scope },
  }),
  PrincipalNotFound: (id: string) => ({
    summary: `Service principal '${id}' was not found.`,
    possibleCauses: 'The id is misspelt, or it was removed.',
    recommendedAction: 'List them.',
    context: { id },
  }),
  PrincipalIsLastOwner: () => ({
    summary: 'Without this there would be nobody left who may assign roles.',
    possibleCauses: 'It is the last enabled owner of the subscription.',
    recommendedAction: 'Make another owner first.',
  }),
  SecretsAlreadyExists: (most: number) => ({
    summary: `A service principal has at most ${most} secrets that are valid.`,
    possibleCauses: 'An old secret was not removed after it was replaced.',
    recommendedAction: 'Remove the one that is no longer used, then add one.',
  }),
  SecretNotFound: (id: string) => ({
    summary: `Secret '${id}' was not found.`,
    possibleCauses: 'It was removed, or it has expired and made room for another.',
    recommendedAction: "List the principal's secrets.",
    context: { id },
  }),
  RoleAssignmentExists: () => ({
    summary: 'The role assignment already exists.',
    possibleCauses: 'The principal has this role at this scope, or the name of the assignment is taken.',
    recommendedAction: 'Nothing is to be done.',
  }),
  RoleAssignmentNotFound: (id: string) => ({
    summary: `The role assignment '${id}' is not found.`,
    possibleCauses: 'It was removed, or the name is misspelt.',
    recommendedAction: 'List them.',
    context: { id },
  }),
  RoleDefinitionDoesNotExist: (id: string) => ({
    summary: `The specified role definition with ID '${id}' does not exist.`,
    possibleCauses: "This vault has the reference's four roles for Site Recovery and no others.",
    recommendedAction: 'List the role definitions, and use one of their ids.',
    context: { id, target: 'properties.roleDefinitionId' },
  }),
  SignInBusy: () => ({
    summary: 'The vault is busy with checking secrets.',
    possibleCauses: 'Many programs sign in at once, or somebody guesses secrets.',
    recommendedAction:
      'Try again in some seconds; a token is valid for an hour and need not be asked for each call.',
    retry: 'transient' as const,
  }),
  IssuerUnreachable: (issuer: string, why: string, cause?: unknown) => ({
    summary: `the issuer ${issuer} does not give its keys: ${why}`,
    possibleCauses: 'It is down, the URL is wrong, or its certificate is not trusted here.',
    recommendedAction:
      'Open its .well-known/openid-configuration from the vault; check issuer and caFile in the settings.',
    retry: 'transient' as const,
    context: { issuer },
    cause,
  }),
});
