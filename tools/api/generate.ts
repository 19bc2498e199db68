/** The texts that `make api` writes, each a pure function of the description. */
import { execa } from 'execa';
import { type Operation, operations } from '../../src/protocol/arm/description.ts';
import { openApi } from '../../src/protocol/arm/openapi.ts';
import { enums, fieldsOf, kindsOf, models } from '../../src/protocol/arm/schemas.ts';
import { refusalOf } from '../../src/vault/api/refused.ts';

export interface GeneratedFile {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

export async function generatedFiles(): Promise<readonly GeneratedFile[]> {
  return Promise.all([
    formatted('src/protocol/arm/models.ts', modelTypes()),
    { path: 'docs/api/openapi.json', text: openApiText(openApi()) },
    { path: 'docs/api/operations.md', text: operationTable() },
  ]);
}

/** As `make format` would leave it. */
async function formatted(path: string, text: string): Promise<GeneratedFile> {
  const { stdout } = await execa('biome', ['format', '--stdin-file-path', path], {
    input: text,
    preferLocal: true,
    stripFinalNewline: false,
    maxBuffer: 64 << 20,
  });
  return { path, text: stdout };
}

/** One line an operation or model: short, and a diff still says what changed. */
function openApiText(document: Record<string, unknown>): string {
  const write = (value: unknown, depth: number, indent: string): string => {
    if (depth === 0 || typeof value !== 'object' || value === null || Array.isArray(value))
      return JSON.stringify(value);
    const inner = `${indent}  `;
    const entries = Object.entries(value).map(
      ([name, one]) => `${inner}${JSON.stringify(name)}: ${write(one, depth - 1, inner)}`,
    );
    return entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n${indent}}`;
  };
  return `${write(document, 3, '')}\n`;
}

function modelTypes(): string {
  const lines = [
    '/**',
    ' * The models of the API as types. Made by `make api` from `description/*.json`: change those, not this.',
    ' */',
    '',
  ];
  for (const [name, values] of Object.entries(enums).sort(byName)) {
    // `string & {}` keeps the known names in an editor's suggestions.
    lines.push(
      `export type ${name} = ${values.map((value) => `'${value}'`).join(' | ')} | (string & {});`,
      '',
    );
  }
  for (const name of Object.keys(models).sort()) {
    const kinds = kindsOf(name);
    const model = models[name]!;
    const fields = [...fieldsOf(name)].map(
      ([field, { type, required, readOnly }]) =>
        `  ${readOnly ? 'readonly ' : ''}${/^[A-Za-z_$][\w$]*$/.test(field) ? field : `'${field}'`}${required ? '' : '?'}: ${typeText(type)}${required ? '' : ' | undefined'};`,
    );
    if (kinds !== undefined && model.discriminatorValue === undefined)
      lines.push(
        `export type ${name} =`,
        ...[...new Set(kinds.byValue.values())].map((kind) => `  | ${kind}`),
        ';',
        '',
      );
    else lines.push(`export interface ${name} {`, ...fields, '}', '');
  }
  return `${lines.join('\n')}\n`;
}

function typeText(type: string): string {
  if (type.endsWith('[]')) return `${typeText(type.slice(0, -2))}[]`;
  const map = /^map<(.+)>$/.exec(type)?.[1];
  if (map !== undefined) return `{ [name: string]: ${typeText(map)} }`;
  const literal = /^Literal\[(.+)\]$/.exec(type)?.[1];
  if (literal !== undefined) return `'${literal}'`;
  if (type.startsWith('enum:')) return type.slice(5);
  return (
    {
      str: 'string',
      bytes: 'string',
      datetime: 'string',
      int: 'number',
      float: 'number',
      bool: 'boolean',
      Any: 'unknown',
    }[type] ?? type
  );
}

function operationTable(): string {
  const rows = operations.map((operation) => ({ operation, refusal: refusalOf(operation.id) }));
  const count = (answer: string | undefined) =>
    rows.filter(({ refusal }) => refusal?.answer === answer).length;
  const title = (api: Operation['api']) =>
    api === 'vaults' ? 'Vaults (api-version 2026-11-01)' : 'Site Recovery (api-version 2025-08-01)';
  const lines = [
    '# Operations',
    '',
    'Every operation of the reference, and what a Leeward vault does with it. Made by `make api`; a test fails when it differs.',
    '',
    `**${count(undefined)} work**, ${count('refuse')} are refused (400 \`OperationNotSupported\`, with causes and a recommended action), ${count('none')} answer an empty page and ${count('unknown')} a 404, because there truthfully are no such things here.`,
    '',
  ];
  for (const api of ['vaults', 'siteRecovery'] as const) {
    lines.push(`## ${title(api)}`, '', '| operation | method and path | | |', '|---|---|---|---|');
    for (const { operation, refusal } of rows.filter((row) => row.operation.api === api)) {
      const traits = [
        operation.longRunning ? 'job' : '',
        operation.paged ? 'pages' : '',
        operation.npmName === undefined ? 'not in the npm SDK' : '',
      ].filter((trait) => trait !== '');
      const answer =
        refusal === undefined
          ? 'works'
          : `${{ refuse: '**refused**', none: 'empty page', unknown: '404' }[refusal.answer]}: ${refusal.what}`;
      lines.push(
        `| \`${operation.id}\` | ${operation.method} \`${shortPath(operation.path)}\` | ${traits.join(', ')} | ${answer} |`,
      );
    }
    lines.push('');
  }
  return lines.join('\n');
}

const shortPath = (path: string): string =>
  path
    .replace(/^\/subscriptions\/\{subscriptionId\}\/resourceGroups\/\{resourceGroupName\}/, '…')
    .replace('/providers/Microsoft.RecoveryServices/vaults/{resourceName}/', '/{vault}/')
    .replace('/providers/Microsoft.RecoveryServices/', '/');

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1);
