/**
 * Resources of the API as rows: what a client put, kept under its resource id and given back as it was. Nouns with duties
 * of their own (replica state, recovery points, jobs) have their own tables; their resource rows hold only what the API says.
 *
 *     …/vaults/v/replicationPolicies/p      id, in the case it was made in
 *     └──────┬─┘ └────────┬────────┘ └┬ name
 *          parent        type
 *
 * Promises: ids are found without regard to case. A page goes on exactly where the one before ended, also while others
 * write: rows are listed in the order they were made. `update` loses no change of another writer.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../platform/clock.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { idKey, resourceType } from '../../protocol/arm/resource-id.ts';
import { iso, json } from './rows.ts';

export type Properties = Readonly<Record<string, unknown>>;

export interface Resource {
  /** As it was made, in one constant case. */
  readonly id: string;
  /** `Microsoft.RecoveryServices/vaults/replicationPolicies`. */
  readonly type: string;
  readonly name: string;
  readonly properties: Properties;
  /** From 1; grows with every change. */
  readonly revision: number;
  readonly createdAt: string;
  readonly changedAt: string;
}

export interface ResourcePage {
  readonly resources: readonly Resource[];
  /** Give it back as `after`; undefined at the end. */
  readonly next: string | undefined;
}

export interface PageRequest {
  readonly limit: number;
  readonly after?: string | undefined;
}

export interface Resources {
  get(id: string): Promise<Resource | undefined>;
  /** Makes or replaces; a replaced one keeps its id's case and its moment of making. */
  put(
    id: string,
    properties: Properties,
  ): Promise<{ readonly resource: Resource; readonly created: boolean }>;
  /** `change` may be called again when somebody else wrote meanwhile. Undefined: there is none. */
  update(id: string, change: (properties: Properties) => Properties): Promise<Resource | undefined>;
  /** Whether it was there. Its descendants stay: `deleteTree`. */
  delete(id: string): Promise<boolean>;
  /** Descendants first, so that a crash leaves no orphan that nobody finds. */
  deleteTree(id: string): Promise<void>;
  /** Direct children of one type, by its last part: `children(vaultId, 'replicationPolicies', …)`. */
  children(parentId: string, collection: string, page: PageRequest): Promise<ResourcePage>;
  /** All of one type in a vault, whatever they lie in: `inVault(vaultId, 'replicationProtectedItems', …)`. */
  inVault(vaultId: string, collection: string, page: PageRequest): Promise<ResourcePage>;
  /** Everything under `id`, at any depth, itself not included; in the order of making. */
  descendants(id: string): Promise<readonly Resource[]>;
}

/** Where a row belongs, taken from its id. */
interface Place {
  readonly id: string;
  readonly key: string;
  readonly parentKey: string;
  readonly vaultKey: string;
  readonly collection: string;
  readonly type: string;
  readonly name: string;
}

function placeOf(id: string): Place {
  const segments = id.split('/');
  const key = idKey(id);
  const vault = /^.*?\/vaults\/[^/]+/.exec(key)?.[0];
  return {
    id,
    key,
    parentKey: segments.slice(0, -2).join('/').toLowerCase(),
    vaultKey: vault ?? '',
    collection: (segments.at(-2) ?? '').toLowerCase(),
    type: resourceType(id),
    name: segments.at(-1) ?? '',
  };
}

/** An update that finds the row changed so often has met a fault, not a busy vault. */
const updateTriesMax = 50;
/** Rows under one id that are read at once; more are read in further pages. */
const descendantsPage = 1000;

export class MemoryResources implements Resources {
  readonly #clock: Clock;
  readonly #rows = new Map<string, { resource: Resource; place: Place; sequence: number }>();
  #sequence = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async get(id: string) {
    return this.#rows.get(idKey(id))?.resource;
  }
  async put(id: string, properties: Properties) {
    const known = this.#rows.get(idKey(id));
    if (known !== undefined) return { resource: this.#replace(known.resource, properties), created: false };
    const place = placeOf(id);
    const at = new Date(this.#clock.now()).toISOString();
    const resource: Resource = {
      id,
      type: place.type,
      name: place.name,
      properties: copy(properties),
      revision: 1,
      createdAt: at,
      changedAt: at,
    };
    this.#rows.set(place.key, { resource, place, sequence: ++this.#sequence });
    return { resource, created: true };
  }
  async update(id: string, change: (properties: Properties) => Properties) {
    const known = this.#rows.get(idKey(id))?.resource;
    return known === undefined ? undefined : this.#replace(known, change(copy(known.properties)));
  }
  async delete(id: string) {
    return this.#rows.delete(idKey(id));
  }
  async deleteTree(id: string) {
    for (const { id: below } of (await this.descendants(id)).toReversed()) this.#rows.delete(idKey(below));
    this.#rows.delete(idKey(id));
  }
  async children(parentId: string, collection: string, page: PageRequest) {
    return this.#page(page, (p) => p.parentKey === idKey(parentId) && p.collection === idKey(collection));
  }
  async inVault(vaultId: string, collection: string, page: PageRequest) {
    return this.#page(page, (p) => p.vaultKey === idKey(vaultId) && p.collection === idKey(collection));
  }
  async descendants(id: string) {
    const prefix = `${idKey(id)}/`;
    return [...this.#rows.values()]
      .filter(({ place }) => place.key.startsWith(prefix))
      .map(({ resource }) => resource);
  }

  #replace(known: Resource, properties: Properties): Resource {
    const resource: Resource = {
      ...known,
      properties: copy(properties),
      revision: known.revision + 1,
      changedAt: new Date(this.#clock.now()).toISOString(),
    };
    const entry = this.#rows.get(idKey(known.id))!;
    entry.resource = resource;
    return resource;
  }

  #page({ limit, after }: PageRequest, fits: (place: Place) => boolean): ResourcePage {
    const found = [...this.#rows.values()].filter(
      ({ place, sequence }) => fits(place) && sequence > Number(after ?? 0),
    );
    const rows = found.slice(0, limit);
    return {
      resources: rows.map(({ resource }) => resource),
      next: found.length > limit ? String(rows.at(-1)!.sequence) : undefined,
    };
  }
}

const columns = 'sequence, id, properties, revision, created_at, changed_at';

/** `session`: the database, or a transaction that other rows are part of. */
export class MariaResources implements Resources {
  readonly #session: Session;
  readonly #clock: Clock;

  constructor(session: Session, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
  }

  async get(id: string) {
    const rows = await this.#session.rows(`SELECT ${columns} FROM resources WHERE id_hash = ?`, [
      hash(idKey(id)),
    ]);
    return rows.map(toResource)[0];
  }

  async put(id: string, properties: Properties) {
    const place = placeOf(id);
    const now = new Date(this.#clock.now());
    const changed = await this.#session.change(
      `INSERT INTO resources
         (id_hash, parent_hash, vault_hash, type_hash, id, properties, revision, created_at, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)
       ON DUPLICATE KEY UPDATE
         properties = VALUES(properties), revision = revision + 1, changed_at = VALUES(changed_at)`,
      [
        hash(place.key),
        hash(place.parentKey),
        hash(place.vaultKey),
        hash(place.collection),
        id,
        JSON.stringify(properties),
        now,
        now,
      ],
    );
    const resource = await this.get(id);
    // Somebody deleted it between the two statements: what was put is still what the caller is told.
    const at = now.toISOString();
    return {
      resource: resource ?? {
        id,
        type: place.type,
        name: place.name,
        properties,
        revision: 1,
        createdAt: at,
        changedAt: at,
      },
      // The server counts 1 for a new row and 2 for a replaced one.
      created: changed === 1,
    };
  }

  async update(id: string, change: (properties: Properties) => Properties) {
    for (let attempt = 0; attempt < updateTriesMax; attempt += 1) {
      const known = await this.get(id);
      if (known === undefined) return undefined;
      const properties = change(known.properties);
      const now = new Date(this.#clock.now());
      const changed = await this.#session.change(
        `UPDATE resources SET properties = ?, revision = revision + 1, changed_at = ?
         WHERE id_hash = ? AND revision = ?`,
        [JSON.stringify(properties), now, hash(idKey(id)), known.revision],
      );
      if (changed === 1)
        return { ...known, properties, revision: known.revision + 1, changedAt: now.toISOString() };
    }
    throw new Error(`the resource ${id} was changed by others ${updateTriesMax} times in a row`);
  }

  async delete(id: string) {
    return (await this.#session.change('DELETE FROM resources WHERE id_hash = ?', [hash(idKey(id))])) === 1;
  }

  async deleteTree(id: string) {
    for (const { id: below } of (await this.descendants(id)).toReversed()) await this.delete(below);
    await this.delete(id);
  }

  children(parentId: string, collection: string, page: PageRequest) {
    return this.#page('parent_hash', idKey(parentId), collection, page);
  }

  inVault(vaultId: string, collection: string, page: PageRequest) {
    return this.#page('vault_hash', idKey(vaultId), collection, page);
  }

  async descendants(id: string) {
    // Rows are found by their vault; what lies above a vault (a resource group) is not asked for its descendants.
    const { vaultKey, key } = placeOf(id);
    const found: Resource[] = [];
    for (let after = 0; ; ) {
      const rows = await this.#session.rows(
        `SELECT ${columns} FROM resources WHERE vault_hash = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
        [hash(vaultKey), after, descendantsPage],
      );
      for (const row of rows) if (idKey(String(row.id)).startsWith(`${key}/`)) found.push(toResource(row));
      if (rows.length < descendantsPage) return found;
      after = Number(rows.at(-1)!.sequence);
    }
  }

  async #page(
    column: 'parent_hash' | 'vault_hash',
    key: string,
    collection: string,
    { limit, after }: PageRequest,
  ): Promise<ResourcePage> {
    const rows = await this.#session.rows(
      `SELECT ${columns} FROM resources WHERE ${column} = ? AND type_hash = ? AND sequence > ?
       ORDER BY sequence LIMIT ?`,
      [hash(key), hash(idKey(collection)), Number(after ?? 0), limit + 1],
    );
    const kept = rows.slice(0, limit);
    return {
      resources: kept.map(toResource),
      next: rows.length > limit ? String(kept.at(-1)!.sequence) : undefined,
    };
  }
}

/** Ids are longer than an index may be: their digests are indexed. */
const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

const copy = (properties: Properties): Properties => JSON.parse(JSON.stringify(properties)) as Properties;

function toResource(row: Row): Resource {
  const place = placeOf(String(row.id));
  return {
    id: place.id,
    type: place.type,
    name: place.name,
    properties: json(row.properties) as Properties,
    revision: Number(row.revision),
    createdAt: iso(row.created_at),
    changedAt: iso(row.changed_at),
  };
}
