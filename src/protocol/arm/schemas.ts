/**
 * The reference's models as zod schemas, made from the description when first asked for.
 *
 *     "properties": "PolicyProperties!"     required
 *     "provisioningState": "str~"           read-only: in a request it is left out, whatever it says
 *     "enum:LicenseType"                    text; the names are known ones, not the only ones; a request may write
 *                                           them in any case, as clients do, and is taken as if it had theirs
 *     discriminator instanceType            the model is chosen by the value; an unknown one is refused by name
 *
 * A request keeps fields that no model has (a client of a later version says more), takes null for left out and drops it.
 * An answer is checked strictly: a field that no model has is a mistake of ours.
 */
import { z } from 'zod';
import siteRecovery from './description/site-recovery-models.json' with { type: 'json' };
import vaults from './description/vault-models.json' with { type: 'json' };

export interface Model {
  readonly extends?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly discriminator?: string;
  readonly discriminatorValue?: string;
}

export const models: Readonly<Record<string, Model>> = { ...siteRecovery.models, ...vaults.models };
export const enums: Readonly<Record<string, readonly string[]>> = { ...siteRecovery.enums, ...vaults.enums };

export interface Field {
  readonly type: string;
  readonly required: boolean;
  readonly readOnly: boolean;
}

/** Own and inherited. */
export function fieldsOf(name: string): ReadonlyMap<string, Field> {
  const known = fieldsByModel.get(name);
  if (known !== undefined) return known;
  const model = models[name];
  if (model === undefined) throw new Error(`there is no model ${name}`);
  const fields = new Map(model.extends === undefined ? [] : fieldsOf(model.extends));
  for (const [field, text] of Object.entries(model.fields ?? {}))
    fields.set(field, {
      type: text.replace(/[!~]+$/, ''),
      required: /!~?$/.test(text),
      readOnly: /~!?$/.test(text),
    });
  fieldsByModel.set(name, fields);
  return fields;
}
const fieldsByModel = new Map<string, ReadonlyMap<string, Field>>();

/** The models that a value of this one may be, by discriminator value; undefined: it has no kinds. */
export function kindsOf(
  name: string,
): { readonly discriminator: string; readonly byValue: ReadonlyMap<string, string> } | undefined {
  const discriminator = models[name]?.discriminator;
  const byValue = kinds.get(name);
  return discriminator === undefined || byValue === undefined || byValue.size === 0
    ? undefined
    : { discriminator, byValue };
}
const kinds = new Map<string, Map<string, string>>();
for (const [name, model] of Object.entries(models)) {
  if (model.discriminatorValue === undefined) continue;
  // A kind of a kind is one of its grandparent too.
  for (let above: string | undefined = name; above !== undefined; above = models[above]?.extends) {
    if (models[above]?.discriminator === undefined) break;
    const byValue = kinds.get(above) ?? new Map<string, string>();
    byValue.set(model.discriminatorValue, name);
    kinds.set(above, byValue);
  }
}

export interface Problem {
  /** `properties.providerSpecificInput.instanceType`; empty: the value itself. */
  readonly path: string;
  readonly message: string;
}

export interface Checked {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** At most so many problems are named: nobody reads more. */
const problemsMax = 10;

export const checkRequest = (model: string, value: unknown): Checked => check(model, value, 'request');
export const checkAnswer = (model: string, value: unknown): Checked => check(model, value, 'answer');

type Direction = 'request' | 'answer';

function check(model: string, value: unknown, direction: Direction): Checked {
  const result = schemaOf(model, direction).safeParse(value);
  if (result.success) return { value: result.data, problems: [] };
  return {
    value: undefined,
    problems: result.error.issues
      .slice(0, problemsMax)
      .map((issue) => ({ path: pathText(issue.path), message: issue.message })),
  };
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}

const schemas = { request: new Map<string, z.ZodType>(), answer: new Map<string, z.ZodType>() };

export function schemaOf(model: string, direction: Direction): z.ZodType {
  const known = schemas[direction].get(model);
  if (known !== undefined) return known;
  const made = kindsOf(model) === undefined ? objectOf(model, direction) : chosenOf(model, direction);
  schemas[direction].set(model, made);
  return made;
}

/** What machines are protected as here. */
const ours = ['InMageRcm', 'InMageAzureV2'];

function chosenOf(model: string, direction: Direction): z.ZodType {
  const { discriminator, byValue } = kindsOf(model)!;
  const own = models[model]!.discriminatorValue;
  return z.unknown().transform((value, context): unknown => {
    const fail = (message: string, path: PropertyKey[] = []) => {
      context.issues.push({ code: 'custom', message, path, input: value });
      return z.NEVER;
    };
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return fail('an object is expected');
    const named = (value as Record<string, unknown>)[discriminator];
    // Where a hierarchy has nothing to say of what this product does, its clients send the base, by either name or by none.
    const isPlain =
      (named === undefined || named === null || named === model || ours.includes(named as string)) &&
      !ours.some((one) => byValue.has(one));
    if (typeof named !== 'string' && !(isPlain && direction === 'request'))
      return fail('is required', [discriminator]);
    const kind = byValue.get(named as string) ?? (isPlain ? model : undefined);
    if (kind === undefined)
      return fail(`"${named}" is not known here; known: ${[...byValue.keys()].join(', ')}`, [discriminator]);
    const schema =
      typeof named !== 'string'
        ? plainOf(model)
        : named === own
          ? objectOf(model, direction)
          : objectOf(kind, direction);
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    for (const issue of result.error.issues)
      context.issues.push({ code: 'custom', message: issue.message, path: issue.path, input: value });
    return z.NEVER;
  });
}

/** The base of a hierarchy without the field that names the kind. */
function plainOf(model: string): z.ZodType {
  return z.looseObject({}).transform((value, context): unknown => {
    const { discriminator } = kindsOf(model)!;
    const result = objectOf(model, 'request').safeParse({ ...value, [discriminator]: '' });
    if (result.success)
      return Object.fromEntries(
        Object.entries(result.data as object).filter(([name]) => name !== discriminator),
      );
    for (const issue of result.error.issues)
      context.issues.push({ code: 'custom', message: issue.message, path: issue.path, input: value });
    return z.NEVER;
  });
}

const objects = { request: new Map<string, z.ZodType>(), answer: new Map<string, z.ZodType>() };

function objectOf(model: string, direction: Direction): z.ZodType {
  const known = objects[direction].get(model);
  if (known !== undefined) return known;
  const shape: Record<string, z.ZodType> = {};
  const dropped = new Set<string>();
  for (const [name, field] of fieldsOf(model)) {
    if (direction === 'request' && field.readOnly) {
      dropped.add(name);
      continue;
    }
    const type = typeOf(field.type, direction);
    shape[name] = field.required ? type : type.nullish();
  }
  const error = 'an object is expected';
  const object =
    direction === 'answer'
      ? z.strictObject(shape, { error: strictMessage })
      : z.looseObject(shape, { error });
  const made =
    direction === 'answer'
      ? object
      : object.transform((value) =>
          Object.fromEntries(
            Object.entries(value).filter(([name, one]) => one !== null && !dropped.has(name)),
          ),
        );
  objects[direction].set(model, made);
  return made;
}

const strictMessage = (issue: { code?: string; keys?: unknown }) =>
  issue.code === 'unrecognized_keys'
    ? `has fields that its model has not: ${issue.keys}`
    : 'an object is expected';

const expected = (what: string) => ({
  error: (issue: { input?: unknown }) => (issue.input === undefined ? 'is required' : `${what} is expected`),
});

function typeOf(type: string, direction: Direction): z.ZodType {
  if (type.endsWith('[]')) return z.array(typeOf(type.slice(0, -2), direction), expected('a list'));
  const map = /^map<(.+)>$/.exec(type)?.[1];
  if (map !== undefined) return z.record(z.string(), typeOf(map, direction), expected('an object'));
  const literal = /^Literal\[(.+)\]$/.exec(type)?.[1];
  if (literal !== undefined) return z.literal(literal, expected(`"${literal}"`));
  if (type.startsWith('enum:')) {
    const names = enums[type.slice(5)]!;
    const text = z.string(expected(`one of ${names.join(', ')}`));
    if (direction === 'answer') return text;
    const spelled = new Map(names.map((name) => [name.toLowerCase(), name]));
    return text.transform((value) => spelled.get(value.toLowerCase()) ?? value);
  }
  switch (type) {
    case 'str':
      return z.string(expected('text'));
    case 'bytes':
      return z.string(expected('base64 text'));
    case 'int':
      return z.number(expected('a whole number')).int('a whole number is expected');
    case 'float':
      return z.number(expected('a number'));
    case 'bool':
      return z.boolean(expected('true or false'));
    case 'datetime':
      return z
        .string(expected('a date and time'))
        .refine((text) => /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text)), {
          error: 'a date and time such as 2026-01-31T12:00:00Z is expected',
        });
    case 'Any':
      return z.unknown();
    default:
      return z.lazy(() => schemaOf(type, direction));
  }
}
