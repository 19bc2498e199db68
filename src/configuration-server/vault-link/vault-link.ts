/**
 * The site's end of the link to its vault: three loops, each of which only ever dials out.
 *
 *     report   every 30 s, and at once when something changed ──▶ vault
 *     orders   asks, waits up to 25 s, makes them durable, asks for what comes after them
 *     answers  whatever is durable and not yet confirmed ──▶ vault ──▶ confirmed
 *
 * Orders are durable here before the next question, answers before they are sent; both ends know an order by its id, so a
 * cut at any moment repeats and never doubles. After a failure the wait is 1, 2, 4, 8 … 60 s, less a random quarter so that
 * sites do not come back all at once; a refusal for good (the site was removed) is tried every 60 s and shown in the log.
 */
import type { HealthEvent } from '../../model/health.ts';
import type { Bell } from '../../platform/bell.ts';
import { certificateEnds, keepCertificate, makeRequest } from '../../platform/certificate-request.ts';
import { type Clock, pause, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { JsonClient } from '../../platform/https-json.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { healthEventOf } from '../../protocol/control/health-event.ts';
import {
  AnswersAnswer,
  CertificateAnswer,
  OrdersAnswer,
  ordersMax,
  ordersWaitMilliseconds,
  ProcessServerCertificateAnswer,
  ReportAnswer,
  type SiteReport,
  siteLinkPaths,
} from '../../protocol/control/site-link.ts';
import { errors } from '../errors.ts';
import { callMilliseconds, renewDays, reportGapMilliseconds, retryMillisecondsMax } from '../limits.ts';
import type { Identity, Registered } from '../registration/identity.ts';
import * as orders from '../store/orders.ts';
import { adopt } from '../store/registrations.ts';

export interface VaultLinkParts {
  readonly identity: Identity;
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Pages of a report, each whole; the last one says so. */
  readonly report: (health: readonly HealthEvent[]) => AsyncIterable<SiteReport>;
  readonly reportBell: Bell;
  readonly answerBell: Bell;
  readonly workBell: Bell;
  readonly wantedBell: Bell;
}

/** How often a server that is not registered looks whether it is. */
const registrationLookMilliseconds = 2_000;
/** … and how long whoever needs the vault waits for that; less than an agent waits for its answer. */
const connectMilliseconds = 10_000;
const renewLookMilliseconds = 3_600_000;
const dayMilliseconds = 86_400_000;

export class VaultLink {
  readonly #parts: VaultLinkParts;
  #client: JsonClient | undefined;
  readonly #connected = Promise.withResolvers<void>();
  #registered: Registered | undefined;
  #clockEvent: HealthEvent | undefined;
  /** Under way: a second wish for it gets the same, since both would write the same files. */
  #renewal: Promise<string> | undefined;

  constructor(parts: VaultLinkParts) {
    this.#parts = parts;
  }

  /** Undefined: not registered, or not looked yet. */
  get registered(): Registered | undefined {
    return this.#registered;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { identity, clock, log } = this.#parts;
    while (!signal.aborted) {
      this.#registered = await identity.registered();
      if (this.#registered) break;
      await pause(clock, registrationLookMilliseconds, signal);
    }
    if (!this.#registered) return;
    const now = new Date(clock.now()).toISOString();
    if (await adopt(this.#parts.database, this.#registered.siteId, now)) this.#parts.wantedBell.ring();
    log.info('registered', { fabricName: this.#registered.fabricName, vaultId: this.#registered.vaultId });
    this.#client = await identity.vaultClient(this.#registered);
    this.#connected.resolve();
    try {
      await Promise.all([
        this.#loop('report', signal, () => this.#reportOnce(signal)),
        this.#loop('orders', signal, () => this.#ordersOnce(signal)),
        this.#loop('answers', signal, () => this.#answersOnce(signal)),
        this.#loop('renew', signal, () => this.#renewOnce(signal)),
      ]);
    } finally {
      this.#client[Symbol.dispose]();
    }
  }

  /** A certificate towards cache storage for a process server's request. Throws `SiteNotRegistered`. */
  async cacheCertificate(
    processServerId: string,
    requestPem: string,
  ): Promise<typeof ProcessServerCertificateAnswer._output> {
    const { identity, clock } = this.#parts;
    if (!this.#client) {
      if (!(await identity.registered())) throw errors.SiteNotRegistered();
      // Registered a moment ago, or just begun: `run` comes to it.
      await withDeadline(clock, connectMilliseconds, this.#connected.promise, () =>
        errors.SiteNotRegistered(),
      );
    }
    return this.#client!.call({
      method: 'POST',
      path: siteLinkPaths.processServerCertificate,
      body: { processServerId, requestPem },
      answer: ProcessServerCertificateAnswer,
      timeoutMilliseconds: callMilliseconds,
    });
  }

  /** Gets this site a new certificate with a new key, and uses it from now on. Answers when it ends. */
  async renewCertificate(): Promise<string> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #loop(name: string, signal: AbortSignal, once: () => Promise<void>): Promise<void> {
    const { clock, random, log } = this.#parts;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await once();
        if (failures > 0) log.info('vault-link-back', { loop: name });
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        const isRefused = error instanceof LeewardError && error.retry === 'permanent';
        log[isRefused ? 'error' : 'warn']('vault-link-failed', { loop: name, error });
        const wait = isRefused
          ? retryMillisecondsMax
          : Math.min(retryMillisecondsMax, 1000 * 2 ** Math.min(failures, 10));
        failures += 1;
        await pause(clock, wait * (1 - random.fraction() / 4), signal);
      }
    }
  }

  async #reportOnce(signal: AbortSignal): Promise<void> {
    const { reportBell, clock, report } = this.#parts;
    const seen = reportBell.count;
    for await (const page of report(this.#clockEvent ? [this.#clockEvent] : [])) {
      const { at } = await this.#client!.call({
        method: 'POST',
        path: siteLinkPaths.report,
        body: page,
        answer: ReportAnswer,
        timeoutMilliseconds: callMilliseconds,
        signal,
      });
      this.#compareClocks(at);
    }
    const gap = this.#registered!.reportSeconds * 1000;
    await pause(clock, Math.min(reportGapMilliseconds, gap), signal);
    await reportBell.wait(clock, seen, gap - reportGapMilliseconds, signal);
  }

  async #ordersOnce(signal: AbortSignal): Promise<void> {
    const { database, clock, workBell, log } = this.#parts;
    const after = await orders.lastSequence(database);
    const answer = await this.#client!.call({
      method: 'GET',
      path: `${siteLinkPaths.orders}?after=${after}`,
      answer: OrdersAnswer,
      // The vault waits, and a slow line takes its time.
      timeoutMilliseconds: ordersWaitMilliseconds + callMilliseconds,
      signal,
    });
    if (answer.orders.length === 0) return;
    await orders.receive(database, answer.orders, new Date(clock.now()).toISOString());
    log.info('orders-received', { orders: answer.orders.map(({ orderId, order }) => `${order} ${orderId}`) });
    workBell.ring();
  }

  async #answersOnce(signal: AbortSignal): Promise<void> {
    const { database, clock, answerBell } = this.#parts;
    const seen = answerBell.count;
    const answers = await orders.unsent(database, ordersMax);
    if (answers.length === 0) {
      await answerBell.wait(clock, seen, retryMillisecondsMax, signal);
      return;
    }
    const { kept } = await this.#client!.call({
      method: 'POST',
      path: siteLinkPaths.answers,
      body: { answers },
      answer: AnswersAnswer,
      timeoutMilliseconds: callMilliseconds,
      signal,
    });
    await orders.sent(database, kept, new Date(clock.now()).toISOString());
  }

  async #renewOnce(signal: AbortSignal): Promise<void> {
    const { identity, clock } = this.#parts;
    const ends = await certificateEnds(identity.at('vault-tls'));
    if (ends === undefined || ends - clock.now() < renewDays * dayMilliseconds) await this.renewCertificate();
    await pause(clock, renewLookMilliseconds, signal);
  }

  async #renew(): Promise<string> {
    const { identity, clock, log } = this.#parts;
    if (!this.#client) throw errors.SiteNotRegistered();
    const folder = identity.at('vault-tls');
    const answer = await this.#client.call({
      method: 'POST',
      path: siteLinkPaths.certificate,
      body: { requestPem: await makeRequest(folder) },
      answer: CertificateAnswer,
      timeoutMilliseconds: callMilliseconds,
    });
    await keepCertificate(folder, answer.certificatePem, answer.caPem);
    // Calls under way end with the old one; the next are made by a new client.
    const before = this.#client;
    this.#client = await identity.vaultClient(this.#registered!);
    before[Symbol.dispose]();
    log.info('certificate-renewed');
    return new Date((await certificateEnds(folder)) ?? clock.now()).toISOString();
  }

  #compareClocks(vaultNow: string): void {
    const { identity, clock, log } = this.#parts;
    if (!identity.isClockOff(vaultNow)) {
      this.#clockEvent = undefined;
      return;
    }
    const error = errors.SiteClockOff(new Date(clock.now()).toISOString(), vaultNow);
    if (!this.#clockEvent) log.warn('clocks-differ', { error });
    this.#clockEvent = healthEventOf(error, clock.now());
  }
}
