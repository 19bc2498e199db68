/** A value of a model, made from the description: every field filled, kinds chosen, depth limited. */
import { fieldsOf, kindsOf, models } from '../../src/protocol/arm/schemas.ts';

/** Kinds of what this product protects, before those of other providers. */
const preferred = ['InMageRcm', 'InMageAzureV2', 'VMwareV2', 'VMware', 'InMage', 'ExportJobDetails'];
/** Models whose preferred kind is younger than the SDK. */
const preferredOf: Readonly<Record<string, string>> = {
  AddDisksProviderSpecificInput: 'A2A',
  RemoveDisksProviderSpecificInput: 'A2A',
};
/** Errors in errors in tasks in jobs: deeper than this only what is required. */
const depthMax = 7;

export interface SampleOptions {
  /** Of what a client may send: without read-only fields. */
  readonly forRequest?: boolean;
  /** Only what is required. */
  readonly least?: boolean;
}

export function sampleOf(model: string, options: SampleOptions = {}, depth = 0): Record<string, unknown> {
  const kinds = kindsOf(model);
  if (kinds !== undefined && models[model]?.discriminatorValue === undefined) {
    const value =
      preferredOf[model] ?? preferred.find((one) => kinds.byValue.has(one)) ?? [...kinds.byValue.keys()][0]!;
    return sampleOf(kinds.byValue.get(value)!, options, depth);
  }
  const sample: Record<string, unknown> = {};
  for (const [name, field] of fieldsOf(model)) {
    if (options.forRequest === true && field.readOnly) continue;
    if ((options.least === true || depth >= depthMax) && !field.required) continue;
    sample[name] = typedValue(field.type, options, depth + 1);
  }
  const own = models[model]?.discriminatorValue;
  const discriminator = models[model]?.discriminator;
  if (own !== undefined && discriminator !== undefined) sample[discriminator] = own;
  return sample;
}

function typedValue(type: string, options: SampleOptions, depth: number): unknown {
  if (type.endsWith('[]')) return depth > depthMax ? [] : [typedValue(type.slice(0, -2), options, depth)];
  const map = /^map<(.+)>$/.exec(type)?.[1];
  if (map !== undefined) return { key: typedValue(map, options, depth) };
  const literal = /^Literal\[(.+)\]$/.exec(type)?.[1];
  if (literal !== undefined) return literal;
  if (type.startsWith('enum:')) return 'SomethingNew';
  switch (type) {
    case 'str':
      return 'text';
    case 'bytes':
      return Buffer.from('bytes').toString('base64');
    case 'int':
      return 7;
    case 'float':
      return 1.5;
    case 'bool':
      return true;
    case 'datetime':
      return '2026-01-02T03:04:05.678Z';
    case 'Any':
      return { any: 'thing' };
    default:
      return sampleOf(type, options, depth);
  }
}
