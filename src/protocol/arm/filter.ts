/**
 * `$filter` as the reference's clients write it: `sourceFabricName eq 'site1' and instanceType eq 'InMageRcm'`. Each noun says
 * which fields it knows; what it does not know is refused, because a filter that is silently ignored answers the wrong
 * machines to whoever is about to fail them over.
 *
 *     field eq 'value' [and field eq 'value' …]        a quote within a value is doubled; fields without regard to case
 *
 * Two lists exist in the reference: values separated by commas (`jobStatus eq 'Failed,Suspended'`) are split by the noun.
 */
import { LeewardError } from '../../platform/errors.ts';

/** As long as a URL may be at most servers. */
const filterCharactersMax = 8000;
/** Fields of the reference's largest query object are nine; nobody needs one twice. */
const termsMax = 20;

/** Values by the known spelling of their fields; empty values (the clients' way to say nothing) are left out. */
export function parseFilter<Field extends string>(
  text: string | null | undefined,
  fields: readonly Field[],
): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  if (text === null || text === undefined || text.trim() === '') return found;
  if (text.length > filterCharactersMax)
    throw invalid(`it is longer than ${filterCharactersMax} characters`, fields);
  const term = /\s*([A-Za-z_][A-Za-z0-9_]*)\s+([A-Za-z]+)\s+(?:'((?:[^']|'')*)'|([^\s'()]+))\s*/y;
  for (let count = 1; ; count++) {
    if (count > termsMax) throw invalid(`it has more than ${termsMax} terms`, fields);
    const at = term.lastIndex;
    const match = term.exec(text);
    if (!match) throw invalid(`it cannot be read from "${text.slice(at, at + 40)}" on`, fields);
    const [, name, operator, quoted, bare] = match;
    if (operator!.toLowerCase() !== 'eq') throw invalid(`it compares with "${operator}"`, fields);
    const field = fields.find((known) => known.toLowerCase() === name!.toLowerCase());
    if (field === undefined) throw invalid(`it names "${name}"`, fields);
    if (field in found) throw invalid(`it names "${field}" twice`, fields);
    const value = quoted?.replaceAll("''", "'") ?? bare!;
    if (value !== '') found[field] = value;
    if (term.lastIndex === text.length) return found;
    const joined = /and\s/iy;
    joined.lastIndex = term.lastIndex;
    if (!joined.test(text))
      throw invalid(`it goes on with "${text.slice(term.lastIndex, term.lastIndex + 40)}"`, fields);
    term.lastIndex = joined.lastIndex;
  }
}

/** As our own client writes one. */
export function writeFilter(terms: Readonly<Record<string, string | undefined>>): string | undefined {
  const parts = Object.entries(terms).flatMap(([field, value]) =>
    value === undefined ? [] : [`${field} eq '${value.replaceAll("'", "''")}'`],
  );
  return parts.length === 0 ? undefined : parts.join(' and ');
}

function invalid(why: string, fields: readonly string[]): LeewardError {
  return new LeewardError({
    code: 'FilterInvalid',
    summary: `the $filter is not understood: ${why}`,
    possibleCauses: 'It is misspelt, or it asks for something that this list cannot be narrowed by.',
    recommendedAction:
      fields.length === 0
        ? 'Leave $filter out: this list knows none.'
        : `Write FIELD eq 'VALUE', joined by "and". Fields: ${fields.join(', ')}.`,
  });
}
