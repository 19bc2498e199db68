/**
 * Sites: a configuration server that registered, and what it reported last. A report comes in pages; each page's rows carry
 * the report's number, and the last page takes away what has an older one. So "what is not in it is gone" needs no second
 * copy, and a report that breaks off takes nothing away.
 */
import type { Database, Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { ReportedMachine, ReportedProcessServer, SiteReport } from '../../protocol/control/site-link.ts';
import { siteLinkErrors } from '../site-link/errors.ts';
import { iso, json } from './rows.ts';

export interface Site {
  readonly siteId: string;
  /** Lower-cased resource id. */
  readonly vaultId: string;
  readonly fabricName: string;
  readonly hostName: string;
  readonly version: string;
  /** 32 bytes, base64. */
  readonly boxPublicKey: string;
  readonly registeredAt: string;
  readonly configurationServer: SiteReport['configurationServer'] | undefined;
  readonly lastReportAt: string | undefined;
}

export async function add(
  session: Session,
  site: Pick<
    Site,
    'siteId' | 'vaultId' | 'fabricName' | 'hostName' | 'version' | 'boxPublicKey' | 'registeredAt'
  >,
): Promise<void> {
  await session.change(
    `INSERT INTO sites (site_id, vault_id, fabric_name, host_name, version, box_public_key, registered_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [
      site.siteId,
      site.vaultId,
      site.fabricName,
      site.hostName,
      site.version,
      site.boxPublicKey,
      new Date(site.registeredAt),
    ],
  );
}

export async function byId(session: Session, siteId: string): Promise<Site | undefined> {
  const rows = await session.rows('SELECT * FROM sites WHERE site_id = ? AND removed_at IS NULL', [siteId]);
  return rows.map(toSite)[0];
}

/** Names of fabrics compare without regard to case, as all of the API's do. */
export async function byName(
  session: Session,
  vaultId: string,
  fabricName: string,
): Promise<Site | undefined> {
  const rows = await session.rows(
    'SELECT * FROM sites WHERE vault_id = ? AND LOWER(fabric_name) = LOWER(?) AND removed_at IS NULL',
    [vaultId, fabricName],
  );
  return rows.map(toSite)[0];
}

/** A vault has few sites; a thousand are more than anybody has. */
export async function list(session: Session, vaultId: string): Promise<Site[]> {
  const rows = await session.rows(
    'SELECT * FROM sites WHERE vault_id = ? AND removed_at IS NULL ORDER BY fabric_name LIMIT 1000',
    [vaultId],
  );
  return rows.map(toSite);
}

/** From now on it is unknown: its certificate opens nothing. */
export async function remove(session: Session, siteId: string, at: string): Promise<void> {
  await session.change('UPDATE sites SET removed_at = ? WHERE site_id = ? AND removed_at IS NULL', [
    new Date(at),
    siteId,
  ]);
  await session.change('DELETE FROM site_machines WHERE site_id = ?', [siteId]);
  await session.change('DELETE FROM site_process_servers WHERE site_id = ?', [siteId]);
}

/** Keeps one page. Throws `ReportOutOfOrder` when it is not the next one: the site then begins anew. */
export async function keepReport(
  database: Database,
  siteId: string,
  report: SiteReport,
  at: string,
): Promise<void> {
  await database.transaction(async (session) => {
    const [row] = await session.rows(
      'SELECT report_number, next_page FROM sites WHERE site_id = ? AND removed_at IS NULL FOR UPDATE',
      [siteId],
    );
    if (!row) throw siteLinkErrors.SiteUnknown();
    const { index, last } = report.page;
    if (index !== 0 && Number(row.next_page) !== index)
      throw siteLinkErrors.ReportOutOfOrder(index, Number(row.next_page));
    const number = Number(row.report_number) + (index === 0 ? 1 : 0);
    for (const server of report.processServers) {
      // A process server belongs to the site that it first appeared at; nobody reports another site's away.
      await session.change(
        `INSERT INTO site_process_servers (process_server_id, site_id, name, report_number, said)
         VALUES (?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE
           name = IF(site_id = VALUES(site_id), VALUES(name), name),
           said = IF(site_id = VALUES(site_id), VALUES(said), said),
           report_number = IF(site_id = VALUES(site_id), VALUES(report_number), report_number)`,
        [server.processServerId, siteId, server.name, number, JSON.stringify(server)],
      );
    }
    for (let first = 0; first < report.machines.length; first += rowsAtOnce) {
      const machines = report.machines.slice(first, first + rowsAtOnce);
      await session.change(
        `INSERT INTO site_machines (site_id, machine_id, name, item_id, report_number, said)
         VALUES ${machines.map(() => '(?, ?, ?, ?, ?, ?)').join(', ')}
         ON DUPLICATE KEY UPDATE name = VALUES(name), item_id = VALUES(item_id),
           report_number = VALUES(report_number), said = VALUES(said)`,
        machines.flatMap((machine) => [
          siteId,
          machine.machineId,
          machine.name,
          machine.itemId ?? null,
          number,
          JSON.stringify(machine),
        ]),
      );
    }
    if (last) {
      await session.change('DELETE FROM site_machines WHERE site_id = ? AND report_number < ?', [
        siteId,
        number,
      ]);
      // Certificates outlive an absence: the row stays, so that the id stays this site's.
      await session.change(
        'UPDATE site_process_servers SET said = NULL WHERE site_id = ? AND report_number < ?',
        [siteId, number],
      );
    }
    await session.change(
      `UPDATE sites SET report_number = ?, next_page = ?, said = ?, version = ?, last_report_at = ?,
         last_whole_report_at = IF(?, ?, last_whole_report_at) WHERE site_id = ?`,
      [
        number,
        last ? 0 : index + 1,
        JSON.stringify(report.configurationServer),
        report.configurationServer.version,
        new Date(at),
        last,
        new Date(at),
        siteId,
      ],
    );
  });
}

/** A hundred machines of some KiB each stay far below the database's 16 MiB for a statement. */
const rowsAtOnce = 100;

/** By name; `after` is the last one of the page before. */
export async function listMachines(
  session: Session,
  siteId: string,
  page: { readonly after?: { readonly name: string; readonly machineId: string }; readonly limit: number },
): Promise<ReportedMachine[]> {
  const rows = await session.rows(
    `SELECT said FROM site_machines WHERE site_id = ? AND (name, machine_id) > (?, ?)
     ORDER BY name, machine_id LIMIT ?`,
    [siteId, page.after?.name ?? '', page.after?.machineId ?? '', page.limit],
  );
  return rows.map((row) => parse(ReportedMachine, json(row.said), 'site_machines'));
}

export async function machine(
  session: Session,
  siteId: string,
  machineId: string,
): Promise<ReportedMachine | undefined> {
  const rows = await session.rows('SELECT said FROM site_machines WHERE site_id = ? AND machine_id = ?', [
    siteId,
    machineId,
  ]);
  return rows.map((row) => parse(ReportedMachine, json(row.said), 'site_machines'))[0];
}

/** Those of the last report. */
export async function listProcessServers(session: Session, siteId: string): Promise<ReportedProcessServer[]> {
  const rows = await session.rows(
    'SELECT said FROM site_process_servers WHERE site_id = ? AND said IS NOT NULL ORDER BY name LIMIT 1000',
    [siteId],
  );
  return rows.map((row) => parse(ReportedProcessServer, json(row.said), 'site_process_servers'));
}

/** Makes a process server's id this site's. False: it is another's. */
export async function claimProcessServer(
  session: Session,
  siteId: string,
  processServerId: string,
): Promise<boolean> {
  await session.change(
    `INSERT IGNORE INTO site_process_servers (process_server_id, site_id, name, report_number)
     VALUES (?, ?, '', 0)`,
    [processServerId, siteId],
  );
  const rows = await session.rows('SELECT site_id FROM site_process_servers WHERE process_server_id = ?', [
    processServerId,
  ]);
  return rows[0]?.site_id === siteId;
}

function toSite(row: Row): Site {
  return {
    siteId: String(row.site_id),
    vaultId: String(row.vault_id),
    fabricName: String(row.fabric_name),
    hostName: String(row.host_name),
    version: String(row.version),
    boxPublicKey: String(row.box_public_key),
    registeredAt: iso(row.registered_at),
    configurationServer:
      row.said === null ? undefined : parse(SiteReport.shape.configurationServer, json(row.said), 'sites'),
    lastReportAt: row.last_report_at === null ? undefined : iso(row.last_report_at),
  };
}
