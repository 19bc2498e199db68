/**
 * The API as OpenAPI 3.1, made from the same description as the routes and the checks. The vault serves it at
 * `/openapi.json`; `make api` writes the same text to `docs/api/openapi.json`.
 */
import { type Operation, operations } from './description.ts';
import { ownOperations } from './own-operations.ts';
import { enums, fieldsOf, kindsOf, models } from './schemas.ts';

type Json = Record<string, unknown>;

let made: Json | undefined;

export function openApi(): Json {
  made ??= document();
  return made;
}

function document(): Json {
  const paths: Record<string, Json> = {};
  for (const operation of [...operations, ...ownOperations]) {
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method.toLowerCase()]: described(operation),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Leeward vault',
      version: '2025-08-01',
      description:
        'The REST API of a Leeward vault: that of Azure Site Recovery (api-version 2025-08-01) and of its vaults (2026-11-01). Paths match without regard to case; any api-version is answered. Operations that belong to providers which this product does not have answer OperationNotSupported with a reason: see operations.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      parameters: {
        apiVersion: {
          name: 'api-version',
          in: 'query',
          required: true,
          schema: { type: 'string', default: '2025-08-01' },
        },
      },
      responses: {
        Error: {
          description: 'A refusal, or a fault.',
          content: { 'application/json': { schema: reference('LeewardError') } },
        },
        Accepted: {
          description: 'A job has begun.',
          headers: {
            'Azure-AsyncOperation': header('Answers the status of the operation.'),
            Location: header('Answers 202 until the operation has ended, then its result.'),
            'Retry-After': header('Seconds.'),
          },
        },
      },
      schemas: {
        ...Object.fromEntries(
          Object.keys(models)
            .sort()
            .map((name) => [name, modelSchema(name)]),
        ),
        ...Object.fromEntries(
          Object.entries(enums)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, values]) => [
              `Enum${name}`,
              { type: 'string', description: 'Known values; others are accepted.', examples: values },
            ]),
        ),
        LeewardError: {
          type: 'object',
          required: ['error'],
          properties: {
            error: {
              type: 'object',
              required: ['code', 'message'],
              properties: {
                code: { type: 'string' },
                message: { type: 'string' },
                target: { type: 'string' },
                details: {
                  type: 'array',
                  items: {
                    type: 'object',
                    properties: Object.fromEntries(
                      [
                        'code',
                        'message',
                        'possibleCauses',
                        'recommendedAction',
                        'clientRequestId',
                        'activityId',
                      ].map((name) => [name, { type: 'string' }]),
                    ),
                  },
                },
              },
            },
          },
        },
      },
    },
  };
}

function described(operation: Operation): Json {
  const names = [...operation.path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]!);
  const result = operation.response ?? operation.result;
  const success: Json = {};
  for (const status of operation.statuses) {
    if (status === 202) success['202'] = { $ref: '#/components/responses/Accepted' };
    else if (status === 204 || status === 404) success[status] = { description: 'Nothing.' };
    else
      success[status] = {
        description: 'Done.',
        ...(operation.items === undefined && result === undefined
          ? {}
          : {
              content: {
                'application/json': {
                  schema: operation.items === undefined ? reference(result!) : pageOf(operation.items),
                },
              },
            }),
      };
  }
  return {
    operationId: operation.id,
    tags: [operation.id.split('.')[0]],
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      { $ref: '#/components/parameters/apiVersion' },
      ...operation.query.map((name) => ({ name, in: 'query', schema: { type: 'string' } })),
    ],
    ...(operation.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: reference(operation.body) } },
          },
        }),
    responses: { ...success, default: { $ref: '#/components/responses/Error' } },
    ...(operation.longRunning ? { 'x-ms-long-running-operation': true } : {}),
    ...(operation.paged ? { 'x-ms-pageable': { nextLinkName: 'nextLink' } } : {}),
  };
}

const header = (description: string): Json => ({ description, schema: { type: 'string' } });
const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const pageOf = (items: string): Json => ({
  type: 'object',
  required: ['value'],
  properties: {
    value: { type: 'array', items: reference(items) },
    nextLink: { type: 'string', format: 'uri' },
  },
});

function modelSchema(name: string): Json {
  const model = models[name]!;
  const inherited = model.extends === undefined ? undefined : fieldsOf(model.extends);
  const own = [...fieldsOf(name)].filter(
    ([field, { type }]) => inherited?.get(field)?.type !== type || model.fields?.[field] !== undefined,
  );
  const required = own.filter(([, field]) => field.required).map(([field]) => field);
  const schema: Json = {
    type: 'object',
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(
      own.map(([field, { type, readOnly }]) => [
        field,
        readOnly ? { ...typeSchema(type), readOnly: true } : typeSchema(type),
      ]),
    ),
  };
  const kinds = kindsOf(name);
  if (kinds !== undefined && model.discriminatorValue === undefined)
    schema.discriminator = {
      propertyName: kinds.discriminator,
      mapping: Object.fromEntries(
        [...kinds.byValue].map(([value, kind]) => [value, `#/components/schemas/${kind}`]),
      ),
    };
  return model.extends === undefined ? schema : { allOf: [reference(model.extends), schema] };
}

function typeSchema(type: string): Json {
  if (type.endsWith('[]')) return { type: 'array', items: typeSchema(type.slice(0, -2)) };
  const map = /^map<(.+)>$/.exec(type)?.[1];
  if (map !== undefined) return { type: 'object', additionalProperties: typeSchema(map) };
  const literal = /^Literal\[(.+)\]$/.exec(type)?.[1];
  if (literal !== undefined) return { const: literal };
  if (type.startsWith('enum:')) return reference(`Enum${type.slice(5)}`);
  return plain[type] ?? reference(type);
}

const plain: Readonly<Record<string, Json>> = {
  str: { type: 'string' },
  bytes: { type: 'string', contentEncoding: 'base64' },
  int: { type: 'integer' },
  float: { type: 'number' },
  bool: { type: 'boolean' },
  datetime: { type: 'string', format: 'date-time' },
  Any: {},
};
