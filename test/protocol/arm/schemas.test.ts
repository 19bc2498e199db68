import test from 'ava';
import { checkAnswer, checkRequest, enums, kindsOf, models } from '../../../src/protocol/arm/schemas.ts';
import { sampleOf } from '../../contract/samples.ts';

/** Three levels: every model comes first once, so nothing is missed, and jobs in jobs take seconds. */
const shallow = 4;
const problems = (model: string, value: unknown) =>
  checkRequest(model, value).problems.map(({ path, message }) => `${path}: ${message}`);

test('a full and a least sample of every model pass, in both directions', (t) => {
  for (const model of Object.keys(models))
    for (const least of [true, false]) {
      t.deepEqual(checkAnswer(model, sampleOf(model, { least }, shallow)).problems, [], model);
      const sent = sampleOf(model, { least, forRequest: true }, shallow);
      const checked = checkRequest(model, sent);
      t.deepEqual(checked.problems, [], model);
      t.deepEqual(checked.value, sent, model);
    }
});

test('every kind of every hierarchy is taken by its base', (t) => {
  for (const base of Object.keys(models)) {
    const kinds = kindsOf(base);
    for (const [value, kind] of kinds?.byValue ?? []) {
      const sample = sampleOf(kind, {}, shallow);
      t.is(sample[kinds!.discriminator], value);
      t.deepEqual(checkAnswer(base, sample).problems, [], `${base} as ${value}`);
    }
  }
});

test('what is missing or of the wrong type is named by its path', (t) => {
  t.deepEqual(problems('CreatePolicyInput', { properties: { providerSpecificInput: {} } }), [
    'properties.providerSpecificInput.instanceType: is required',
  ]);
  t.deepEqual(problems('CreatePolicyInput', { properties: 'x' }), ['properties: an object is expected']);
  t.deepEqual(problems('CreatePolicyInput', []), [': an object is expected']);
  t.deepEqual(problems('ConfigureAlertRequest', { properties: { customEmailAddresses: ['a', 1] } }), [
    'properties.customEmailAddresses[1]: text is expected',
  ]);
  t.deepEqual(
    problems('InMageRcmPolicyCreationInput', {
      instanceType: 'InMageRcm',
      recoveryPointHistoryInMinutes: 1.5,
    }),
    ['recoveryPointHistoryInMinutes: a whole number is expected'],
  );
});

test('a hierarchy that has no kind for machines of this product takes the base for them', (t) => {
  const mapping = (instanceType: string) =>
    problems('CreateProtectionContainerMappingInput', {
      properties: { providerSpecificInput: { instanceType } },
    });
  t.deepEqual(mapping('InMageRcm'), []);
  t.deepEqual(mapping('ReplicationProviderSpecificContainerMappingInput'), []);
  t.is(mapping('Other').length, 1);
  const { value } = checkRequest('CreateProtectionContainerMappingInput', {
    properties: { providerSpecificInput: {} },
  });
  t.deepEqual(value, { properties: { providerSpecificInput: {} } }, 'as Terraform sends it');
  t.is(problems('TestFailoverInput', { properties: { providerSpecificDetails: {} } }).length, 1);
  t.is(
    problems('CreatePolicyInput', {
      properties: { providerSpecificInput: { instanceType: 'PolicyProviderSpecificInput' } },
    }).length,
    1,
  );
});

test('a request keeps what no model has, drops null, and loses what only the vault may say', (t) => {
  const { value, problems: wrong } = checkRequest('Vault', {
    id: 'mine',
    location: 'here',
    tags: null,
    properties: { provisioningState: 'Broken', ofALaterVersion: { x: [null] } },
    extra: true,
  });
  t.deepEqual(wrong, []);
  t.deepEqual(value, {
    location: 'here',
    properties: { ofALaterVersion: { x: [null] } },
    extra: true,
  });
});

test('names that an enumeration does not have are let through, in both directions', (t) => {
  t.true(enums.LicenseType!.length > 0);
  t.deepEqual(problems('UpdateReplicationProtectedItemInput', { properties: { licenseType: 'Newest' } }), []);
  t.deepEqual(problems('UpdateReplicationProtectedItemInput', { properties: { licenseType: 7 } }).length, 1);
});

test('an answer with a field that its model has not, or of a kind that nobody knows, does not pass', (t) => {
  const wrong = (model: string, value: unknown) => checkAnswer(model, value).problems;
  t.is(wrong('Policy', { id: 'x', nme: 'p' }).length, 1);
  t.is(wrong('Policy', { properties: { providerSpecificDetails: { instanceType: 'Ours' } } }).length, 1);
  t.is(
    wrong('Job', { properties: { tasks: [{ startTime: 'yesterday' }] } })[0]?.path,
    'properties.tasks[0].startTime',
  );
});

test('an object that would poison prototypes is only data', (t) => {
  const { value } = checkRequest(
    'Vault',
    JSON.parse('{"location":"x","__proto__":{"polluted":1},"tags":{"__proto__":"y"}}'),
  );
  t.is(({} as { polluted?: number }).polluted, undefined);
  t.is((value as { location: string }).location, 'x');
});
