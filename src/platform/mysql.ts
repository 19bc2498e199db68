/**
 * MariaDB or MySQL through plain SQL. One small interface, so that stores say what they want and nothing of pools. Errors
 * of the connection are transient (`DatabaseUnreachable`); everything else is thrown as the server said it.
 */
import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise';
import { LeewardError } from './errors.ts';

export type SqlValue = string | number | bigint | boolean | null | Date | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

export interface Session {
  /** Rows of a query. */
  rows(sql: string, values?: readonly SqlValue[]): Promise<Row[]>;
  /** How many rows a statement changed. */
  change(sql: string, values?: readonly SqlValue[]): Promise<number>;
}

export interface Database extends Session, AsyncDisposable {
  /** All or nothing. A deadlock or a lock timeout is tried again, at most 5 times, as it is with a single `change`; `work` must be
   * repeatable. */
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface DatabaseSettings {
  readonly socketPath?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user: string;
  readonly password?: string | undefined;
  readonly database: string;
}

/** Ten connections: four items being applied, the API, retention, and room. More only queue at the server. */
const connectionsMax = 10;
const retriesMax = 5;

const unreachable = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'ER_SERVER_SHUTDOWN',
  'ER_CON_COUNT_ERROR',
];

export function openDatabase(settings: DatabaseSettings): Database {
  const options: PoolOptions = {
    user: settings.user,
    database: settings.database,
    connectionLimit: connectionsMax,
    queueLimit: 1000,
    connectTimeout: 10_000,
    timezone: 'Z',
    charset: 'utf8mb4',
    supportBigNumbers: true,
    // 64-bit numbers stay below 2^53 here (bytes of disks, counts): numbers are exact.
    bigNumberStrings: false,
    dateStrings: false,
    ...(settings.socketPath === undefined ? {} : { socketPath: settings.socketPath }),
    ...(settings.host === undefined ? {} : { host: settings.host }),
    ...(settings.port === undefined ? {} : { port: settings.port }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
  };
  return new PooledDatabase(createPool(options));
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** It lost against another one, not against the data: the next try may well win. */
const isTriedAgain = (error: unknown): boolean =>
  ['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT'].includes(codeOf(error));

/** All of `work` must be undone when it fails. */
async function withTriesAgain<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isTriedAgain(error) || attempt >= retriesMax) throw error;
    }
  }
}

function mapped(error: unknown): unknown {
  if (!unreachable.includes(codeOf(error))) return error;
  return new LeewardError({
    code: 'DatabaseUnreachable',
    summary: 'the database does not answer',
    possibleCauses: 'It is not running, is being restarted, or its socket is elsewhere.',
    recommendedAction: 'Start it and look at its log; work goes on by itself once it answers.',
    retry: 'transient',
    cause: error,
  });
}

function session(connection: Pool | PoolConnection): Session {
  const query = async (sql: string, values: readonly SqlValue[]): Promise<unknown> => {
    try {
      const [result] = await connection.query(sql, [...values]);
      return result;
    } catch (error) {
      throw mapped(error);
    }
  };
  return {
    rows: async (sql, values = []) => (await query(sql, values)) as Row[],
    change: async (sql, values = []) =>
      Number(((await query(sql, values)) as { affectedRows?: number }).affectedRows ?? 0),
  };
}

class PooledDatabase implements Database {
  readonly #pool: Pool;
  readonly #session: Session;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#session = session(pool);
  }

  rows(sql: string, values?: readonly SqlValue[]): Promise<Row[]> {
    return this.#session.rows(sql, values);
  }

  /** By itself it is all of its transaction: when it fails, nothing of that has happened. */
  change(sql: string, values?: readonly SqlValue[]): Promise<number> {
    return withTriesAgain(() => this.#session.change(sql, values));
  }

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return withTriesAgain(() => this.#transactionOnce(work));
  }

  async #transactionOnce<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const connection = await this.#pool.getConnection().catch((error: unknown) => {
      throw mapped(error);
    });
    try {
      await connection.beginTransaction();
      const result = await work(session(connection));
      await connection.commit();
      connection.release();
      return result;
    } catch (error) {
      // A connection whose state is not known is not given to anybody else.
      await connection.rollback().then(
        () => connection.release(),
        () => connection.destroy(),
      );
      throw mapped(error);
    }
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
