/** Agents: machines with a mobility service, and process servers. What they said last, and what they have taken. */
import { HealthEvent } from '../../model/health.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { AgentReport, AgentRole } from '../../protocol/control/agent-link.ts';
import { iso, json } from './rows.ts';

export interface Agent {
  readonly agentId: string;
  readonly role: AgentRole;
  readonly name: string;
  readonly heartbeatAt: string | undefined;
  readonly said: AgentReport | undefined;
  /** Of what is wanted: the version it answered last, taken unless `failed` says why not. */
  readonly answeredVersion: string;
  readonly failed: HealthEvent | undefined;
}

/** Again after a repetition, or when a machine is enrolled anew: the id stays, what it has taken is forgotten. */
export async function enrol(
  session: Session,
  agent: Pick<Agent, 'agentId' | 'role' | 'name'>,
  at: string,
): Promise<void> {
  await session.change(
    `INSERT INTO agents (agent_id, role, name, enrolled_at) VALUES (?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE name = VALUES(name), enrolled_at = VALUES(enrolled_at), answered_version = '', failed = NULL`,
    [agent.agentId, agent.role, agent.name, new Date(at)],
  );
}

export async function byId(session: Session, agentId: string): Promise<Agent | undefined> {
  return (await session.rows('SELECT * FROM agents WHERE agent_id = ?', [agentId])).map(toAgent)[0];
}

/** By id; `after` is the last of the page before. */
export async function list(
  session: Session,
  role: AgentRole,
  page: { readonly after?: string | undefined; readonly limit: number },
): Promise<Agent[]> {
  const rows = await session.rows(
    'SELECT * FROM agents WHERE role = ? AND agent_id > ? ORDER BY agent_id LIMIT ?',
    [role, page.after ?? '', page.limit],
  );
  return rows.map(toAgent);
}

/** Answers whether it said something else than the last time, apart from moments. */
export async function report(
  session: Session,
  agentId: string,
  said: AgentReport,
  at: string,
): Promise<boolean> {
  const before = (await byId(session, agentId))?.said;
  await session.change('UPDATE agents SET said = ?, heartbeat_at = ? WHERE agent_id = ?', [
    JSON.stringify(said),
    new Date(at),
    agentId,
  ]);
  return before === undefined || essence(before) !== essence(said);
}

/** What makes the vault be told at once: not figures, which always change. */
function essence(said: AgentReport): string {
  if (said.role === 'mobility-service') return JSON.stringify(said.machine);
  const { name, host, port, version, health } = said.processServer;
  return JSON.stringify([name, host, port, version, health.map(({ code }) => code)]);
}

export async function answered(
  session: Session,
  agentId: string,
  version: string,
  failed: HealthEvent | undefined,
): Promise<void> {
  await session.change('UPDATE agents SET answered_version = ?, failed = ? WHERE agent_id = ?', [
    version,
    failed === undefined ? null : JSON.stringify(failed),
    agentId,
  ]);
}

function toAgent(row: Row): Agent {
  return {
    agentId: String(row.agent_id),
    role: parse(AgentRole, row.role, 'agents'),
    name: String(row.name),
    heartbeatAt: row.heartbeat_at === null ? undefined : iso(row.heartbeat_at),
    said: row.said === null ? undefined : parse(AgentReport, json(row.said), 'agents'),
    answeredVersion: String(row.answered_version),
    failed: row.failed === null ? undefined : parse(HealthEvent, json(row.failed), 'agents'),
  };
}
