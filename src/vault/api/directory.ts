/**
 * The directory: service principals and their secrets, in the shape of Microsoft Graph, under `/graph/v1.0`. What an owner
 * makes and changes here signs in at `sign-in.ts`. A secret is in the answer to its making and nowhere else.
 *
 *     GET    /servicePrincipals[?$filter=appId eq '…']        POST   /servicePrincipals          {displayName}
 *     GET    /servicePrincipals/{id}                          POST   /servicePrincipals/{id}/addPassword
 *     PATCH  /servicePrincipals/{id}   {accountEnabled}       POST   /servicePrincipals/{id}/removePassword   {keyId}
 *     DELETE /servicePrincipals/{id}                          POST   /directoryObjects/getByIds  {ids}
 *
 * Everybody who may sign in may read names and ids, as in the reference; only an owner of the subscription may write.
 */
import type Koa from 'koa';
import { z } from 'zod';
import { LeewardError } from '../../platform/errors.ts';
import { type Access, may } from '../access/access.ts';
import { actionById } from '../access/audit-trail.ts';
import { errors as accessErrors } from '../access/errors.ts';
import { principalsPageMax, secretDaysDefault, signInBodyBytesMax } from '../access/limits.ts';
import type { Principal } from '../access/principal.ts';
import type { MadeSecret, ServicePrincipals } from '../access/service-principals.ts';
import type { PrincipalRecord, Principals, SecretRecord } from '../store/principals.ts';
import type { Audit } from './access-check.ts';
import { readText, wrongBody } from './body.ts';
import { errors, statusOf } from './errors.ts';

export interface DirectoryParts {
  readonly access: Access;
  readonly principals: Principals;
  readonly servicePrincipals: ServicePrincipals;
  readonly audit: Audit;
  readonly subscriptionId: string;
  readonly clock: { now(): number };
}

const root = '/graph/v1.0';
const collection = `${root}/servicePrincipals`;

const Create = z.looseObject({
  displayName: z.string().trim().min(1).max(200),
  accountEnabled: z.boolean().default(true),
});
const Change = z.looseObject({ accountEnabled: z.boolean() });
const AddPassword = z.looseObject({
  passwordCredential: z
    .looseObject({
      displayName: z.string().max(200).nullish(),
      endDateTime: z.iso.datetime({ offset: true }).nullish(),
    })
    .nullish(),
});
const RemovePassword = z.looseObject({ keyId: z.guid() });
const GetByIds = z.looseObject({ ids: z.array(z.string()).max(1000) });

interface Asked {
  readonly context: Koa.Context;
  readonly id: string;
}
interface Told {
  readonly status: number;
  readonly body?: unknown;
  /** What was touched. */
  readonly touched?: string;
}
interface Route {
  /** Undefined: a read. */
  readonly writes?: string;
  readonly answer: (parts: DirectoryParts, asked: Asked) => Promise<Told>;
}

export function directory(parts: DirectoryParts, publicUrl: string): Koa.Middleware {
  return async (context, next) => {
    if (!context.path.toLowerCase().startsWith(`${root}/`)) return next();
    const { access } = parts;
    const principal = await access.authenticateFor(context.get('authorization') || undefined, [
      access.graphAudience,
      publicUrl,
      'https://management.azure.com',
      'https://management.core.windows.net',
    ]);
    const [noun = '', id = '', verb = ''] = context.path.slice(root.length + 1).split('/');
    const name = `${noun}${id && noun.toLowerCase() === 'serviceprincipals' ? '/id' : id ? `/${id}` : ''}${verb ? `/${verb}` : ''}`;
    const route = routes[`${context.method} ${name.toLowerCase()}`];
    if (route === undefined) {
      const allowed = Object.keys(routes).flatMap((known) => {
        const [method, ...rest] = known.split(' ');
        return rest.join(' ') === name.toLowerCase() ? [method!] : [];
      });
      throw allowed.length === 0
        ? errors.InvalidResourceType(context.path)
        : errors.MethodNotAllowed(context.method, allowed.join(', '));
    }
    const asked = { context, id: id.toLowerCase() };
    const told =
      route.writes === undefined
        ? await route.answer(parts, asked)
        : await written(parts, principal, { ...route, writes: route.writes }, asked);
    context.status = told.status;
    context.body = told.body ?? null;
    context.status = told.status;
  };
}

const routes: Readonly<Record<string, Route>> = {
  'GET serviceprincipals': { answer: list },
  'GET serviceprincipals/id': {
    answer: async (parts, { id }) => ({ status: 200, body: await rendered(parts, await find(parts, id)) }),
  },
  'POST serviceprincipals': { writes: 'servicePrincipals.create', answer: create },
  'PATCH serviceprincipals/id': { writes: 'servicePrincipals.update', answer: change },
  'DELETE serviceprincipals/id': { writes: 'servicePrincipals.delete', answer: remove },
  'POST serviceprincipals/id/addpassword': { writes: 'servicePrincipals.addPassword', answer: addPassword },
  'POST serviceprincipals/id/removepassword': {
    writes: 'servicePrincipals.removePassword',
    answer: removePassword,
  },
  'POST directoryobjects/getbyids': { answer: getByIds },
};

/** A write: only an owner, and audited with what came of it, also when it was refused. */
async function written(
  parts: DirectoryParts,
  principal: Principal,
  route: Route & { readonly writes: string },
  asked: Asked,
): Promise<Told> {
  const ids = asked.context.state.ids as { correlationId: string; clientRequestId: string };
  const audit = (status: number, code: string | undefined, touched: string) =>
    parts.audit({
      principal,
      operationId: route.writes,
      resourceId: touched,
      status,
      code,
      jobId: undefined,
      correlationId: ids.correlationId,
      clientRequestId: ids.clientRequestId,
      from: asked.context.req.socket.remoteAddress ?? '',
    });
  const subscription = `/subscriptions/${parts.subscriptionId}`;
  const target = asked.id === '' ? collection : `${collection}/${asked.id.slice(0, 64)}`;
  try {
    const action = actionById(route.writes);
    if (!may(principal, action, subscription)) throw parts.access.refused(principal, action, subscription);
    const told = await route.answer(parts, asked);
    await audit(told.status, undefined, told.touched ?? target);
    return told;
  } catch (error) {
    await audit(
      error instanceof LeewardError ? statusOf(error) : 500,
      error instanceof LeewardError ? error.code : 'InternalServerError',
      target,
    );
    throw error;
  }
}

async function list(parts: DirectoryParts, { context }: Asked): Promise<Told> {
  const filter = String(context.query.$filter ?? '');
  if (filter !== '') {
    // `az` asks for one by either of its names, and takes an empty list for "no such one".
    const asked = [...filter.matchAll(/(?:appId|id)\s+eq\s+'([^']+)'|c eq '([^']+)'/gi)].map(
      (match) => match[1] ?? match[2]!,
    );
    if (asked.length === 0) throw errors.InvalidQueryParameter('$filter', 'only appId and id are known');
    const found = await Promise.all(
      asked.map(
        async (id) => (await parts.principals.byApplicationId(id)) ?? (await parts.principals.byObjectId(id)),
      ),
    );
    const kept = found.filter((one) => one !== undefined);
    return { status: 200, body: { value: await Promise.all(kept.map((one) => rendered(parts, one))) } };
  }
  const after = String(context.query.$skiptoken ?? '');
  const page = await parts.principals.list({ after, limit: principalsPageMax + 1 });
  const shown = page.slice(0, principalsPageMax);
  const next = page.length > principalsPageMax ? shown.at(-1)!.objectId : undefined;
  return {
    status: 200,
    body: {
      value: await Promise.all(shown.map((one) => rendered(parts, one))),
      ...(next === undefined
        ? {}
        : {
            '@odata.nextLink': `${parts.access.graphAudience}/v1.0/servicePrincipals?$skiptoken=${next}`,
          }),
    },
  };
}

async function create(parts: DirectoryParts, { context }: Asked): Promise<Told> {
  const body = await bodyOf(context, Create);
  const made = await parts.servicePrincipals.create(body.displayName, { enabled: body.accountEnabled });
  const record = (await parts.principals.byObjectId(made.objectId))!;
  return {
    status: 201,
    // Graph makes the password with a call of its own; here the first one comes with the principal, and only now.
    body: { ...(await rendered(parts, record)), passwordCredentials: [renderSecret('first', made)] },
    touched: `${collection}/${made.objectId}`,
  };
}

async function change(parts: DirectoryParts, { context, id }: Asked): Promise<Told> {
  const record = await find(parts, id);
  const { accountEnabled } = await bodyOf(context, Change);
  if (!accountEnabled) await mustLeaveOwner(parts, record);
  await parts.principals.setEnabled(record.objectId, accountEnabled);
  return { status: 204 };
}

async function remove(parts: DirectoryParts, { id }: Asked): Promise<Told> {
  const record = await find(parts, id);
  await mustLeaveOwner(parts, record);
  await parts.principals.remove(record.objectId);
  return { status: 204 };
}

async function addPassword(parts: DirectoryParts, { context, id }: Asked): Promise<Told> {
  const record = await find(parts, id);
  const { passwordCredential } = await bodyOf(context, AddPassword);
  const end = passwordCredential?.endDateTime;
  const days = end ? (Date.parse(end) - parts.clock.now()) / 86_400_000 : secretDaysDefault;
  if (days <= 0)
    throw errors.InvalidRequestContent('a secret must not end in the past', 'passwordCredential.endDateTime');
  const name = passwordCredential?.displayName ?? '';
  const made = await parts.servicePrincipals.addSecret(record.objectId, name, days);
  return { status: 200, body: renderSecret(name, made) };
}

async function removePassword(parts: DirectoryParts, { context, id }: Asked): Promise<Told> {
  const record = await find(parts, id);
  const { keyId } = await bodyOf(context, RemovePassword);
  if (!(await parts.principals.removeSecret(record.objectId, keyId)))
    throw accessErrors.SecretNotFound(keyId);
  return { status: 204 };
}

async function getByIds(parts: DirectoryParts, { context }: Asked): Promise<Told> {
  const { ids } = await bodyOf(context, GetByIds);
  const found = await Promise.all([...new Set(ids)].map((id) => parts.principals.byObjectId(id)));
  const known = found.filter((one) => one !== undefined);
  return { status: 200, body: { value: await Promise.all(known.map((one) => rendered(parts, one))) } };
}

async function find(parts: DirectoryParts, id: string): Promise<PrincipalRecord> {
  const byApplication = /^appid='?([0-9a-f-]{36})'?$/i.exec(id)?.[1];
  const record =
    byApplication === undefined
      ? await parts.principals.byObjectId(id)
      : await parts.principals.byApplicationId(byApplication);
  if (record === undefined) throw accessErrors.PrincipalNotFound(id.slice(0, 64));
  return record;
}

/** Somebody must be left who may assign roles. */
async function mustLeaveOwner(parts: DirectoryParts, { objectId }: PrincipalRecord): Promise<void> {
  if (!(await parts.access.hasOtherOwner({ principalId: objectId })))
    throw accessErrors.PrincipalIsLastOwner();
}

async function rendered(parts: DirectoryParts, record: PrincipalRecord): Promise<object> {
  const isService = record.kind === 'ServicePrincipal';
  return {
    '@odata.type': isService ? '#microsoft.graph.servicePrincipal' : '#microsoft.graph.user',
    id: record.objectId,
    ...(isService
      ? {
          appId: record.applicationId,
          servicePrincipalType: 'Application',
          servicePrincipalNames: [record.applicationId],
          passwordCredentials: (await parts.principals.secrets(record.objectId)).map(shownSecret),
        }
      : { userPrincipalName: record.subject, issuer: record.issuer }),
    displayName: record.displayName,
    accountEnabled: record.enabled,
    createdDateTime: record.createdAt,
  };
}

const shownSecret = (secret: SecretRecord) => ({
  keyId: secret.secretId,
  displayName: secret.displayName,
  hint: secret.hint,
  startDateTime: secret.createdAt,
  endDateTime: secret.expiresAt,
  secretText: null,
});

const renderSecret = (displayName: string, made: MadeSecret) => ({
  keyId: made.secretId,
  displayName,
  hint: made.hint,
  endDateTime: made.expiresAt,
  secretText: made.secret,
});

async function bodyOf<T extends z.ZodType>(context: Koa.Context, schema: T): Promise<z.infer<T>> {
  const text = await readText(context.req, signInBodyBytesMax);
  let value: unknown;
  try {
    value = JSON.parse(text.trim() === '' ? '{}' : text);
  } catch {
    throw errors.InvalidRequestContent('The body of the request is not JSON.');
  }
  const checked = schema.safeParse(value);
  if (!checked.success) throw wrongBody(checked.error);
  return checked.data;
}
