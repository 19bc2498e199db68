/** Which machine each agent is, and which copies of it were seen. Verdicts are `agents/standing.ts`'s. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { lastingIdentity, parseMachineIdentity } from '../../model/machine-identity.ts';
import type { Database, Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import type { MachineStanding } from '../../protocol/control/agent-link.ts';
import { judge, nextTickets, type Tickets, type Verdict } from '../agents/standing.ts';
import { copiesOfMachineMax, copyKeptMilliseconds, runsOfMachineMax } from '../limits.ts';
import { iso, json } from './rows.ts';

const TicketsRow = z.strictObject({
  shown: z.string().optional(),
  given: z.array(z.string()),
  givenAt: z.number(),
});

export interface Reporting {
  readonly agentId: string;
  readonly standing: MachineStanding;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly now: number;
  readonly serverStartedAt: number;
  readonly silentMilliseconds: number;
  readonly makeTicket: () => string;
}

export interface Admission {
  readonly verdict: Verdict;
  /** The name under which the one that is known reported. */
  readonly holderName: string;
  readonly ticket: string | undefined;
  /** What a process server has to know has changed. */
  readonly isOther: boolean;
  /** A copy became known by it. */
  readonly isNews: boolean;
}

/** Of the one that asks, in one transaction: two that ask at once are judged one after the other. */
export function admit(database: Database, asking: Reporting): Promise<Admission> {
  const { agentId, standing, now } = asking;
  return database.transaction(async (session) => {
    await session.rows('SELECT agent_id FROM agents WHERE agent_id = ? FOR UPDATE', [agentId]);
    const [row] = await session.rows(
      "SELECT * FROM machine_runs WHERE agent_id = ? AND standing = 'holder'",
      [agentId],
    );
    const holder = row && {
      instance: String(row.instance),
      name: String(row.name),
      identity: String(row.identity),
      seenAt: Date.parse(iso(row.last_seen_at)),
      tickets: ticketsOf(row),
    };
    const instance = instanceOf(standing.identity);
    const key = holder?.instance === instance ? copyKey(standing) : instance;
    const [known] = await session.rows(
      "SELECT standing FROM machine_runs WHERE agent_id = ? AND instance = ? AND standing = 'copy'",
      [agentId, key],
    );
    const verdict = judge({
      holder,
      identity: standing.identity,
      ticket: standing.ticket,
      isKnownCopy: known !== undefined,
      now,
      serverStartedAt: asking.serverStartedAt,
      silentMilliseconds: asking.silentMilliseconds,
    });
    const holderName = holder?.name ?? asking.name;
    if (verdict.verdict !== 'accept') {
      const changed = await see(session, asking, key, verdict.verdict === 'copy' ? 'copy' : 'waiting');
      const isNews = verdict.verdict === 'copy' && changed !== 'again';
      return { verdict, holderName, ticket: undefined, isOther: false, isNews };
    }
    const { tickets, answer } = nextTickets(holder?.tickets, standing.ticket, now, asking.makeTicket);
    await hold(session, asking, tickets);
    // When it is the run that is known, both live: whoever came meanwhile is another machine. Else those who came wait anew.
    const proved = verdict.continues
      ? await session.change(
          "UPDATE machine_runs SET standing = 'copy' WHERE agent_id = ? AND standing = 'waiting'",
          [agentId],
        )
      : 0;
    if (!verdict.continues)
      await session.change("DELETE FROM machine_runs WHERE agent_id = ? AND standing = 'waiting'", [agentId]);
    const isOther =
      holder === undefined || lastingIdentity(holder.identity) !== lastingIdentity(standing.identity);
    return { verdict, holderName, ticket: answer, isOther, isNews: proved > 0 };
  });
}

/** By a person's word: this machine is the agent from now on, whatever was. */
export async function replace(database: Database, asking: Reporting): Promise<void> {
  await database.transaction(async (session) => {
    await session.rows('SELECT agent_id FROM agents WHERE agent_id = ? FOR UPDATE', [asking.agentId]);
    // Its run before may come back: then it is the copy.
    await session.change("DELETE FROM machine_runs WHERE agent_id = ? AND standing = 'holder'", [
      asking.agentId,
    ]);
    const { ticket } = asking.standing;
    await hold(session, asking, { shown: ticket, given: [], givenAt: 0 });
  });
}

/** It is an agent of its own now: no copy of another one any more. Answers whether it was one. */
export async function becameItself(session: Session, identity: string): Promise<boolean> {
  const changed = await session.change(
    "DELETE FROM machine_runs WHERE instance = ? AND standing <> 'holder'",
    [instanceOf(identity)],
  );
  return changed > 0;
}

/** Undefined: the agent has not said what its machine is. */
export async function holderOf(
  session: Session,
  agentId: string,
): Promise<{ readonly instance: string; readonly name: string } | undefined> {
  const [row] = await session.rows(
    "SELECT instance, name FROM machine_runs WHERE agent_id = ? AND standing = 'holder'",
    [agentId],
  );
  return row && { instance: String(row.instance), name: String(row.name) };
}

/** Agent → what its machine is, without the run. */
export async function identitiesOf(
  session: Session,
  agentIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (agentIds.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT agent_id, identity FROM machine_runs
     WHERE standing = 'holder' AND agent_id IN (${agentIds.map(() => '?').join(', ')})`,
    agentIds,
  );
  return new Map(rows.map((row) => [String(row.agent_id), lastingIdentity(String(row.identity))]));
}

export interface SeenCopy {
  readonly name: string;
  readonly addresses: string[];
  readonly firstSeenAt: string;
}

/** Agent → copies of its machine that were seen since. */
export async function copiesOf(
  session: Session,
  agentIds: readonly string[],
  since: number,
): Promise<ReadonlyMap<string, SeenCopy[]>> {
  if (agentIds.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT agent_id, name, addresses, first_seen_at FROM machine_runs
     WHERE standing = 'copy' AND last_seen_at >= ? AND agent_id IN (${agentIds.map(() => '?').join(', ')})
     ORDER BY agent_id, first_seen_at, instance`,
    [new Date(since), ...agentIds],
  );
  const found = new Map<string, SeenCopy[]>();
  for (const row of rows) {
    const list = found.get(String(row.agent_id)) ?? [];
    found.set(String(row.agent_id), list);
    if (list.length < copiesOfMachineMax)
      list.push({
        name: String(row.name),
        addresses: parse(z.array(z.string()), json(row.addresses), 'machine_runs'),
        firstSeenAt: iso(row.first_seen_at),
      });
  }
  return found;
}

async function see(
  session: Session,
  { agentId, standing, name, addresses, now }: Reporting,
  key: string,
  as: 'waiting' | 'copy',
): Promise<'new' | 'changed' | 'again'> {
  const at = new Date(now);
  const [before] = await session.rows(
    'SELECT standing, last_seen_at FROM machine_runs WHERE agent_id = ? AND instance = ?',
    [agentId, key],
  );
  if (!before) await makeRoom(session, agentId, now);
  await session.change(
    `INSERT INTO machine_runs (agent_id, instance, standing, identity, name, addresses, first_seen_at, last_seen_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE standing = VALUES(standing), identity = VALUES(identity), name = VALUES(name),
       addresses = VALUES(addresses), last_seen_at = VALUES(last_seen_at)`,
    [agentId, key, as, standing.identity, name, JSON.stringify(addresses), at, at],
  );
  if (!before) return 'new';
  const isBack = now - Date.parse(iso(before.last_seen_at)) > copyKeptMilliseconds;
  return before.standing === as && !isBack ? 'again' : 'changed';
}

/** Runs that come and go must not fill the table: a copy that is rebooted is a new one each time. */
async function makeRoom(session: Session, agentId: string, now: number): Promise<void> {
  await session.change(
    "DELETE FROM machine_runs WHERE agent_id = ? AND standing <> 'holder' AND last_seen_at < ?",
    [agentId, new Date(now - 30 * 86_400_000)],
  );
  const rows = await session.rows(
    `SELECT instance FROM machine_runs WHERE agent_id = ? AND standing <> 'holder'
     ORDER BY last_seen_at DESC, instance LIMIT ?`,
    [agentId, runsOfMachineMax],
  );
  if (rows.length < runsOfMachineMax) return;
  await session.change('DELETE FROM machine_runs WHERE agent_id = ? AND instance = ?', [
    agentId,
    String(rows.at(-1)!.instance),
  ]);
}

async function hold(session: Session, asking: Reporting, tickets: Tickets): Promise<void> {
  const { agentId, standing, name, addresses, now } = asking;
  const instance = instanceOf(standing.identity);
  await session.change(
    "DELETE FROM machine_runs WHERE agent_id = ? AND (instance = ? OR standing = 'holder')",
    [agentId, instance],
  );
  await session.change(
    `INSERT INTO machine_runs
       (agent_id, instance, standing, identity, name, addresses, first_seen_at, last_seen_at, tickets)
     VALUES (?, ?, 'holder', ?, ?, ?, ?, ?, ?)`,
    [
      agentId,
      instance,
      standing.identity,
      name,
      JSON.stringify(addresses),
      new Date(now),
      new Date(now),
      JSON.stringify(tickets),
    ],
  );
}

function ticketsOf(row: Row): Tickets {
  const { shown, given, givenAt } = parse(TicketsRow, json(row.tickets), 'machine_runs');
  return { shown, given, givenAt };
}

function instanceOf(identity: string): string {
  return (parseMachineIdentity(identity)?.instance ?? 'unknown').slice(0, 64);
}

/** A copy of a running machine, with its memory, has the instance of its original. */
function copyKey({ identity, ticket }: MachineStanding): string {
  return `copy-${createHash('sha256')
    .update(`${instanceOf(identity)} ${ticket}`)
    .digest('hex')
    .slice(0, 16)}`;
}
