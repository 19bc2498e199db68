/** A built-in hook: brings one kind of database to rest around the freeze, without a script of the operator's. */
export interface Hook {
  /** For people, e.g. `MariaDB and MySQL`. */
  readonly name: string;
  /** Throws when the database is there but does not come to rest; answers the reason when there is nothing to do. */
  pre(): Promise<{ readonly skipped?: string }>;
  /** Lets go; called after every `pre`, whatever came of it. Throws when rest was lost before it was called. */
  post(): Promise<void>;
}
