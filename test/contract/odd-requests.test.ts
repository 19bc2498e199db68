/**
 * What a client may get wrong on its way to an operation: bytes that are no request, bodies that are too long or encoded, names,
 * links of other lists, conditions. Each is refused in the reference's shape, and the client gets to see it.
 */
import { connect } from 'node:tls';
import anyTest from 'ava';
import { systemRandom } from '../../src/platform/random.ts';
import { armBodyBytesMax } from '../../src/vault/api/limits.ts';
import { putRow } from '../../src/vault/api/noun.ts';
import { pageOf } from '../../src/vault/api/paging.ts';
import { type ArmWorld, type PlainAnswer, startArmWorld, subscriptionId, token } from './arm-world.ts';

const test = anyTest.serial;
let world: ArmWorld;
const group = `/subscriptions/${subscriptionId}/resourceGroups/`;
const vaultId = `${group}group/providers/Microsoft.RecoveryServices/vaults/vault`;
const vaultNamed = (name: string) => `${group}group/providers/Microsoft.RecoveryServices/vaults/${name}`;

anyTest.before(async () => {
  const list = async (request: Parameters<typeof pageOf>[0]) => {
    const from = Number(pageOf(request).after ?? 0);
    if (Number.isNaN(from)) throw new Error('a place that no list has written');
    return { page: [{ id: `/${from}`, name: String(from) }], next: String(from + 1) };
  };
  world = await startArmWorld({
    nouns: [
      {
        'replicationPolicies.list': list,
        'replicationRecoveryPlans.list': list,
        'replicationPolicies.get': async () => ({ body: { name: 'p', properties: {} } }),
        'replicationPolicies.create': async (request) =>
          putRow(
            { jobs: { start: async () => systemRandom.uuid() } as never },
            request,
            'policy',
            vaultId,
            {},
          ),
      },
    ],
    withoutRefusals: true,
  });
  await world.vaults().vaults.beginCreateOrUpdateAndWait('group', 'vault', { location: 'here' });
});
anyTest.after.always(() => world?.dispose());

const refusal = ({ status, body }: PlainAnswer) => `${status} ${body?.error?.code}`;
const isWhole = ({ body }: { body: PlainAnswer['body'] }) => {
  const detail = body?.error?.details?.[0];
  return [detail?.possibleCauses, detail?.recommendedAction, body?.error?.message].every(
    (text) => typeof text === 'string' && text.length > 3,
  );
};

/** What comes back for these very bytes, until the server ends the connection. */
async function sent(bytes: string): Promise<{ status: number; body: PlainAnswer['body'] }> {
  const { port } = new URL(world.url);
  const socket = connect({ host: 'localhost', port: Number(port), ca: world.ca });
  socket.write(bytes);
  let text = '';
  for await (const chunk of socket) text += chunk;
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), body: body === '' ? undefined : JSON.parse(body) };
}

test('bytes that are no request are refused in the same shape', async (t) => {
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', 400],
    [`put ${vaultId} HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
    ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ] as const) {
    const answer = await sent(bytes);
    t.is(answer.status, status, bytes.slice(0, 40));
    t.is(answer.body.error.code, 'MalformedRequest', bytes.slice(0, 40));
    t.true(isWhole(answer));
  }
});

test('an expectation that nobody knows is no reason to refuse a request', async (t) => {
  const answer = await world.request('GET', vaultId, { headers: { expect: 'the-unexpected' } });
  t.is(answer.status, 200);
});

test('whoever sends too much, or sends it without a token, sees the refusal and not a broken line', async (t) => {
  const path = `${vaultId}/replicationPolicies/p`;
  const long = 'x'.repeat(5 * armBodyBytesMax);
  for (let times = 0; times < 5; times += 1) {
    t.is(refusal(await world.request('PUT', path, { body: long })), '413 RequestEntityTooLarge');
    t.is(
      refusal(await world.request('PUT', path, { body: long, headers: { authorization: 'Bearer a.b.c' } })),
      '401 InvalidAuthenticationToken',
    );
  }
});

test('a body may begin with a byte order mark, must be UTF-8 and must not be compressed', async (t) => {
  const path = `${vaultId}/replicationPolicies/p`;
  t.is((await world.request('PUT', path, { body: '\uFEFF{"properties":{}}' })).status, 202);
  const compressed = await world.request('PUT', path, {
    body: '{}',
    headers: { 'content-encoding': 'gzip' },
  });
  t.is(refusal(compressed), '415 UnsupportedMediaType');
  t.true(isWhole(compressed));
  const latin = `PUT ${path}?api-version=2025-08-01 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Length: 4\r\n\r\n`;
  const { port } = new URL(world.url);
  const socket = connect({ host: 'localhost', port: Number(port), ca: world.ca });
  socket.write(Buffer.concat([Buffer.from(latin), Buffer.from([0x22, 0xff, 0xfe, 0x22])]));
  let text = '';
  for await (const chunk of socket) text += chunk;
  t.true(text.startsWith('HTTP/1.1 400 '));
  t.true(text.includes('not UTF-8'));
});

test('a link of another list, or one that was tampered with, is refused', async (t) => {
  const first = await world.request('GET', `${vaultId}/replicationPolicies`);
  const token = new URL(first.body.nextLink).searchParams.get('$skipToken')!;
  const next = await world.request('GET', `${vaultId}/replicationPolicies?$skipToken=${token}`);
  t.is(next.body.value[0].name, '1');
  const made = (text: string) => Buffer.from(text).toString('base64url');
  for (const [list, odd] of [
    ['replicationRecoveryPlans', token],
    ['replicationPolicies', made('1zzz')],
    ['replicationPolicies', made('2aaaaaaaaaanowhere')],
    ['replicationPolicies', `${token}x`],
    ['replicationPolicies', '!'],
  ] as const)
    t.is(
      refusal(await world.request('GET', `${vaultId}/${list}?$skipToken=${encodeURIComponent(odd)}`)),
      '400 InvalidQueryParameter',
      `${list} ${odd}`,
    );
});

test('a name that is too long is said to be too long', async (t) => {
  for (const name of ['x'.repeat(301), '%01', '%20']) {
    const answer = await world.request('GET', `${vaultId}/replicationPolicies/${name}`);
    t.is(refusal(answer), '400 InvalidResourceName');
    t.regex(answer.body.error.message, /1 to 300 characters/);
  }
});

test('an operation is found by its id in any case', async (t) => {
  const jobId = systemRandom.uuid();
  world.jobs.set({ jobId, vaultId, state: 'Succeeded' });
  for (const path of ['replicationOperationStatus', 'replicationPolicies/p/operationresults'])
    t.is((await world.request('GET', `${vaultId}/${path}/${jobId.toUpperCase()}`)).status, 200, path);
});

test('a write that is made conditional is made only when the condition holds', async (t) => {
  const body = { location: 'here', tags: { a: 'b' } };
  const put = (headers: Record<string, string>) => world.request('PUT', vaultId, { body, headers });
  const { etag } = (await world.request('GET', vaultId)).body;
  t.is(refusal(await put({ 'if-match': 'W/"stale"' })), '412 PreconditionFailed');
  t.is(refusal(await put({ 'if-none-match': '*' })), '412 PreconditionFailed');
  t.is((await put({ 'if-match': `"other", ${etag}` })).status, 200);
  t.is(refusal(await put({ 'if-match': etag })), '412 PreconditionFailed', 'the one before changed it');
  t.is((await put({ 'if-match': '*' })).status, 200);
  const anew = (headers: Record<string, string>) =>
    world.request('PUT', vaultNamed('conditional'), { body, headers });
  t.is(refusal(await anew({ 'if-match': '*' })), '412 PreconditionFailed');
  t.is((await anew({ 'if-none-match': '*' })).status, 201);
  const policy = await world.request('PUT', `${vaultId}/replicationPolicies/p`, {
    body: { properties: {} },
    headers: { 'if-match': '"1"' },
  });
  t.is(refusal(policy), '412 PreconditionFailed');
  t.regex(policy.body.error.message, /no etag/);
});

test('a vault is not made with what it could not keep or be found by', async (t) => {
  const soft = (settings: object) => ({ properties: { securitySettings: { softDeleteSettings: settings } } });
  for (const [field, more] of Object.entries<object>({
    location: { location: ' ' },
    'location ': { location: 'lo/cal' },
    'location  ': { location: 'x'.repeat(65) },
    'sku.name': { sku: { name: 'Free' } },
    tags: { tags: Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`tag${index}`, 'x'])) },
    'tags ': { tags: { long: 'x'.repeat(257) } },
    softDeleteState: soft({ softDeleteState: 'Perhaps' }),
    softDeleteRetentionPeriodInDays: soft({ softDeleteRetentionPeriodInDays: -5 }),
  })) {
    const answer = await world.request('PUT', vaultNamed('odd'), { body: { location: 'here', ...more } });
    t.is(refusal(answer), '400 InvalidRequestContent', field);
    t.true(answer.body.error.message.includes(field.trim()), answer.body.error.message);
  }
  t.is((await world.request('GET', vaultNamed('odd'))).status, 404);
  t.is((await world.request('PUT', vaultNamed('even'), { body: { location: 'West Europe' } })).status, 201);
});
