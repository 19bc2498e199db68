/** Protected items as the workflows want them (`workflows/parts.ts`): each call a transaction of its own. */
import type { Database, Session } from '../../platform/mysql.ts';
import type { ItemRecords } from '../workflows/parts.ts';
import { add, begin, byId, change, end, tie } from './protected-items.ts';

export function itemRecords(database: Database): ItemRecords {
  const within = <T>(work: (session: Session) => Promise<T>) => database.transaction(work);
  return {
    add: (item, job) => within((session) => add(session, item, job)),
    tie: (id, itemId) => tie(database, id, itemId),
    byId: (id) => byId(database, id),
    begin: (id, operation, job) => within((session) => begin(session, id, operation, job)),
    end: (id, jobId, outcome, changes) => within((session) => end(session, id, jobId, outcome, changes)),
    change: (id, changes) => within((session) => change(session, id, changes)),
  };
}
