/**
 * The vault's orders, done. A reconciler: each pass looks at all unanswered orders and takes each one as far as it will go;
 * a pass that finds nothing changed does nothing. So it does not matter when a process died: the next pass sees the rows.
 *
 *     order ──▶ effect and `begun` in ONE transaction ──▶ (agents take it, script ends …) ──▶ answer, durable ──▶ sent
 *
 * Exactly once: effects on assignments are rows, and rows are what they are however often they are looked at. A script is
 * started by a claim that only one start can make (`scripts/runs.ts`) and outlives this process. Orders about one machine
 * or item keep their sequence.
 */
import type { HealthEvent } from '../../model/health.ts';
import type { Bell } from '../../platform/bell.ts';
import { openSealed } from '../../platform/box.ts';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { repeat } from '../../platform/repeat.ts';
import { seal } from '../../platform/seal.ts';
import {
  type AgentCommand,
  agentSilentMilliseconds,
  type CommandAnswer,
} from '../../protocol/control/agent-link.ts';
import { healthEventOf } from '../../protocol/control/health-event.ts';
import type { SiteAnswer, SiteOrder } from '../../protocol/control/site-link.ts';
import { errors } from '../errors.ts';
import { answeredOrdersKept, ordersUnderWayMax, workMilliseconds } from '../limits.ts';
import type { ScriptRuns } from '../scripts/runs.ts';
import * as agents from '../store/agents.ts';
import * as items from '../store/items.ts';
import * as orders from '../store/orders.ts';
import { wantedOf } from './wanted.ts';

export interface OrderWorkParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly masterKey: Uint8Array;
  /** Opens item keys that the vault sealed to this site. */
  readonly boxSecretKey: Uint8Array;
  readonly scripts: ScriptRuns;
  /** Renews the site's certificate towards the vault; answers when the new one ends. */
  readonly renewCertificate: () => Promise<string>;
  /** Rung when an agent's picture or commands may have changed; agents' waiting requests listen. */
  readonly wantedBell: Bell;
  /** Rung when there is something to do here. */
  readonly workBell: Bell;
  /** Rung when there is an answer to send. */
  readonly answerBell: Bell;
  /** Rung when the vault should be told of a change. */
  readonly reportBell: Bell;
}

type Outcome = SiteAnswer['outcome'];
type OrderOf<Kind extends SiteOrder['order']> = Extract<SiteOrder, { order: Kind }>;

/** From a machine's last word to being off. Its heartbeat comes every 10 s; a machine that shuts down may go on for a while. */
const offMilliseconds = agentSilentMilliseconds;
/** Noted when an order begins that changes an assignment instead of making one. */
const assignedBefore = 'assigned-before';
/** The longest wait of an agent between two tries. */
const returnMilliseconds = 60_000;

export class OrderWork {
  readonly #parts: OrderWorkParts;
  /** Commands for agents: made from unanswered orders each pass, so a restart makes them again. */
  #commands = new Map<string, AgentCommand[]>();
  /** Command ids that agents have answered, until their order is. A repeated command is answered again. */
  readonly #commandAnswers = new Map<string, { readonly answer: CommandAnswer; readonly at: number }>();
  /** Of each machine that is to be off, by order: its last heartbeat, and since when this process has seen no later one. */
  readonly #lastWords = new Map<
    string,
    { readonly heartbeatAt: string | undefined; readonly sinceMonotonic: number }
  >();

  readonly #startedAt: number;

  constructor(parts: OrderWorkParts) {
    this.#parts = parts;
    this.#startedAt = parts.clock.now();
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, workBell, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('orders-not-worked-on', { error });
    return repeat({ clock, signal, pauseMilliseconds: workMilliseconds, bell: workBell, onFailure }, () =>
      this.pass(),
    );
  }

  commandsOf(agentId: string): readonly AgentCommand[] {
    return this.#commands.get(agentId) ?? [];
  }

  /** `agentId` only answers what was asked of it. */
  commandAnswered(agentId: string, answer: CommandAnswer): void {
    if (!this.commandsOf(agentId).some(({ commandId }) => commandId === answer.commandId)) return;
    this.#commandAnswers.set(answer.commandId, { answer, at: this.#parts.clock.now() });
    this.#parts.workBell.ring();
  }

  async pass(): Promise<void> {
    const { database, clock, log, wantedBell, answerBell, reportBell } = this.#parts;
    const found = await orders.open(database, ordersUnderWayMax);
    const commands = new Map<string, AgentCommand[]>();
    const busy = new Set<string>();
    let answeredCount = 0;
    for (const { order, isBegun, concerns } of found) {
      const subjects = subjectsOf(order);
      const mustWait = subjects.some((subject) => busy.has(subject));
      // Disabling need not wait until enabling has failed.
      const isEnabling = order.order === 'protect' && isBegun;
      for (const subject of subjects) if (!isEnabling || subject !== order.itemId) busy.add(subject);
      if (mustWait) continue;
      let outcome: Outcome | undefined;
      try {
        outcome = await this.#step(order, isBegun, concerns, (agentId, command) =>
          commands.set(agentId, [...(commands.get(agentId) ?? []), command]),
        );
      } catch (error) {
        if (!(error instanceof LeewardError) || error.retry === 'transient') throw error;
        outcome = this.#failed(error);
      }
      if (outcome === undefined) continue;
      await orders.answer(database, {
        orderId: order.orderId,
        outcome,
        answeredAt: new Date(clock.now()).toISOString(),
      });
      this.#commandAnswers.delete(order.orderId);
      this.#lastWords.delete(order.orderId);
      if (order.order === 'run-script') await this.#parts.scripts.forget(order.orderId);
      log.info('order-answered', { orderId: order.orderId, order: order.order, state: outcome.state });
      answeredCount += 1;
    }
    const before = JSON.stringify([...this.#commands]);
    this.#commands = commands;
    if (JSON.stringify([...commands]) !== before) wantedBell.ring();
    if (answeredCount === 0) return;
    answerBell.ring();
    reportBell.ring();
    await orders.trim(database, answeredOrdersKept);
  }

  /** Undefined: not yet. */
  async #step(
    order: SiteOrder,
    isBegun: boolean,
    concerns: readonly string[],
    command: (agentId: string, command: AgentCommand) => void,
  ): Promise<Outcome | undefined> {
    switch (order.order) {
      case 'protect':
        return this.#protect(order, isBegun, concerns);
      case 'unprotect':
        return this.#unprotect(order, isBegun, concerns);
      case 'change-policy':
        return this.#changePolicy(order);
      case 'run-script':
        return this.#runScript(order, isBegun);
      case 'stop-script':
        return this.#stopScript(order);
      case 'take-bookmark':
        return this.#takeBookmark(order, command);
      case 'shut-down-machine':
        return this.#shutDown(order, command);
      case 'renew-certificate':
        return this.#renewCertificate(order);
    }
  }

  async #protect(
    order: OrderOf<'protect'>,
    isBegun: boolean,
    concerns: readonly string[],
  ): Promise<Outcome | undefined> {
    const { database, masterKey, boxSecretKey, random, wantedBell, reportBell } = this.#parts;
    const { itemId, machineId, processServerId, name, disks, policy } = order;
    if (!isBegun) {
      if (this.#isExpired(order))
        return this.#failed(errors.OrderExpired(order.expiresAt, 'it came too late'));
      const itemKey = openSealed(boxSecretKey, Buffer.from(order.sealedItemKey, 'base64'));
      if (itemKey?.byteLength !== 32) throw errors.ItemKeyUnreadable(itemId);
      const machine = await agents.byId(database, machineId);
      if (machine?.role !== 'mobility-service') throw errors.MachineUnknown(machineId);
      const server = await agents.byId(database, processServerId);
      if (server?.role !== 'process-server') throw errors.ProcessServerUnknown(processServerId);
      const sealedKey = seal(masterKey, itemKey, random);
      await database.transaction(async (session) => {
        const before = await items.byId(session, itemId);
        const other = await items.ofMachine(session, machineId);
        if (other && other.itemId !== itemId) throw errors.MachineProtectedAlready(machineId, other.itemId);
        await items.put(
          session,
          { itemId, machineId, processServerId, name, disks, policy, sealedKey },
          this.#now(),
        );
        await orders.begin(session, order.orderId, this.#now(), before ? [assignedBefore] : []);
      });
      wantedBell.ring();
      reportBell.ring();
    }
    // What was assigned before goes on with what it has taken; only a new assignment is taken back.
    const takeBack = async () => {
      if (!concerns.includes(assignedBefore)) await this.#withdraw(itemId);
    };
    const item = await items.byId(database, itemId);
    // Somebody may have disabled protection meanwhile.
    if (!item) return this.#failed(errors.OrderWithdrawn(itemId));
    const waitsFor: string[] = [];
    for (const agentId of [processServerId, machineId]) {
      const taken = await this.#taken(agentId);
      if (taken.failed !== undefined) {
        await takeBack();
        return { state: 'failed', error: taken.failed };
      }
      if (!taken.isTaken) waitsFor.push(taken.name);
      else if (agentId === processServerId && !item.isServed) {
        await items.served(database, itemId, this.#now());
        wantedBell.ring();
        // Only now is the machine told.
        return undefined;
      }
    }
    if (waitsFor.length === 0) return { state: 'done' };
    if (!this.#isExpired(order)) return undefined;
    await takeBack();
    return this.#failed(errors.OrderExpired(order.expiresAt, `${waitsFor.join(' and ')} did not take it`));
  }

  async #unprotect(
    order: OrderOf<'unprotect'>,
    isBegun: boolean,
    concerns: readonly string[],
  ): Promise<Outcome | undefined> {
    const { database, wantedBell, reportBell } = this.#parts;
    if (!isBegun) {
      await database.transaction(async (session) => {
        const item = await items.byId(session, order.itemId);
        await items.remove(session, order.itemId);
        // Who has to let go is no longer known once the row is gone.
        const agentIds = item ? [item.machineId, item.processServerId] : [];
        await orders.begin(session, order.orderId, this.#now(), agentIds);
      });
      wantedBell.ring();
      reportBell.ring();
      return undefined;
    }
    for (const agentId of concerns) {
      const { isTaken, isSilent } = await this.#taken(agentId);
      // A machine that is gone for good must not keep anybody from disabling its protection.
      if (!isTaken && !isSilent && !this.#isExpired(order)) return undefined;
    }
    return { state: 'done' };
  }

  /** Done when it is durable: the machine takes it when it asks next. What is not protected here needs nothing. */
  async #changePolicy({ itemId, policy }: OrderOf<'change-policy'>): Promise<Outcome> {
    await this.#parts.database.transaction(async (session) => {
      const item = await items.byId(session, itemId);
      if (item) await items.put(session, { ...item, policy }, this.#now());
    });
    this.#parts.wantedBell.ring();
    return { state: 'done' };
  }

  async #runScript(order: OrderOf<'run-script'>, isBegun: boolean): Promise<Outcome | undefined> {
    const { scripts, database } = this.#parts;
    if (!isBegun) {
      if (this.#isExpired(order))
        return this.#failed(errors.OrderExpired(order.expiresAt, 'it came too late'));
      if (scripts.isFull) return undefined;
      await orders.begin(database, order.orderId, this.#now());
    }
    const { name, timeoutSeconds } = order;
    const state = await scripts.advance({
      runId: order.orderId,
      name,
      arguments: order.arguments,
      timeoutSeconds,
    });
    if (state.state === 'running') return undefined;
    return state.state === 'ended' ? { state: 'done', output: state.output } : this.#failed(state.error);
  }

  /** The script's own order is answered by what is found of it. */
  async #stopScript({ scriptOrderId }: OrderOf<'stop-script'>): Promise<Outcome> {
    const { database, scripts } = this.#parts;
    const open = await orders.open(database, ordersUnderWayMax);
    if (open.some(({ order }) => order.orderId === scriptOrderId)) await scripts.stop(scriptOrderId);
    return { state: 'done' };
  }

  async #takeBookmark(
    order: OrderOf<'take-bookmark'>,
    command: (agentId: string, command: AgentCommand) => void,
  ): Promise<Outcome | undefined> {
    const item = await items.byId(this.#parts.database, order.itemId);
    if (!item) return this.#failed(errors.ItemNotProtectedHere(order.itemId));
    const given = this.#commandAnswers.get(order.orderId);
    if (given)
      return given.answer.failed ? { state: 'failed', error: given.answer.failed } : { state: 'done' };
    if (this.#isExpired(order))
      return this.#failed(errors.OrderExpired(order.expiresAt, 'the machine took no bookmark'));
    command(item.machineId, { commandId: order.orderId, command: 'take-bookmark', type: order.type });
    return undefined;
  }

  async #shutDown(
    order: OrderOf<'shut-down-machine'>,
    command: (agentId: string, command: AgentCommand) => void,
  ): Promise<Outcome | undefined> {
    const { database } = this.#parts;
    const machine = await agents.byId(database, order.machineId);
    if (machine?.role !== 'mobility-service') return this.#failed(errors.MachineUnknown(order.machineId));
    const given = this.#commandAnswers.get(order.orderId);
    if (given?.answer.failed) return { state: 'failed', error: given.answer.failed };
    const silentMilliseconds = this.#silenceOf(order.orderId, machine.heartbeatAt);
    // It said that it goes, and has gone; or it was off before anybody asked.
    if (
      silentMilliseconds >= offMilliseconds &&
      (given !== undefined || silentMilliseconds >= 3 * offMilliseconds)
    )
      return { state: 'done' };
    if (this.#isExpired(order))
      return this.#failed(
        errors.OrderExpired(order.expiresAt, given ? 'it has not gone off' : 'the machine did not answer'),
      );
    if (!given) command(order.machineId, { commandId: order.orderId, command: 'shut-down' });
    return undefined;
  }

  /**
   * For how long nothing has come from a machine while this process listened. Not by the heartbeat's date: after a step of the
   * clock, or when this server was away itself, a machine that runs would look off, and a second one would be started.
   */
  #silenceOf(orderId: string, heartbeatAt: string | undefined): number {
    const now = this.#parts.clock.monotonic();
    let last = this.#lastWords.get(orderId);
    if (last === undefined || last.heartbeatAt !== heartbeatAt) {
      last = { heartbeatAt, sinceMonotonic: now };
      this.#lastWords.set(orderId, last);
    }
    return now - last.sinceMonotonic;
  }

  /** Renewing once too often, after a crash before the answer, does no harm. */
  async #renewCertificate(order: OrderOf<'renew-certificate'>): Promise<Outcome | undefined> {
    if (this.#isExpired(order))
      return this.#failed(errors.OrderExpired(order.expiresAt, 'the vault could not be asked in time'));
    try {
      return { state: 'done', output: await this.#parts.renewCertificate() };
    } catch (error) {
      // The vault is away for a moment; other orders need not wait for it.
      if (error instanceof LeewardError && error.retry === 'transient') return undefined;
      throw error;
    }
  }

  async #taken(agentId: string): Promise<{
    readonly isTaken: boolean;
    readonly isSilent: boolean;
    readonly name: string;
    readonly failed?: HealthEvent;
  }> {
    const { database, masterKey, clock } = this.#parts;
    const agent = await agents.byId(database, agentId);
    if (!agent) return { isTaken: false, isSilent: true, name: agentId };
    // While this server was away nobody could be heard of, and agents try again after a minute at the latest.
    const spokenAt =
      agent.heartbeatAt === undefined
        ? Number.NEGATIVE_INFINITY
        : Math.max(Date.parse(agent.heartbeatAt), this.#startedAt + returnMilliseconds);
    const isSilent = clock.now() - spokenAt > agentSilentMilliseconds;
    const { version } = await wantedOf(database, agent, masterKey);
    const isAnswered = agent.answeredVersion === version;
    if (isAnswered && agent.failed)
      return { isTaken: false, isSilent, name: agent.name, failed: agent.failed };
    return { isTaken: isAnswered, isSilent, name: agent.name };
  }

  async #withdraw(itemId: string): Promise<void> {
    await items.remove(this.#parts.database, itemId);
    this.#parts.wantedBell.ring();
    this.#parts.reportBell.ring();
  }

  #failed(error: LeewardError): Outcome {
    return { state: 'failed', error: healthEventOf(error, this.#parts.clock.now()) };
  }

  #isExpired(order: SiteOrder): boolean {
    return Date.parse(order.expiresAt) <= this.#parts.clock.now();
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}

/** Orders about the same thing keep their sequence. */
function subjectsOf(order: SiteOrder): string[] {
  switch (order.order) {
    case 'protect':
      return [order.itemId, order.machineId];
    case 'unprotect':
    case 'change-policy':
    case 'take-bookmark':
      return [order.itemId];
    case 'shut-down-machine':
      return [order.machineId];
    case 'run-script':
    case 'stop-script':
    case 'renew-certificate':
      return [order.orderId];
  }
}
