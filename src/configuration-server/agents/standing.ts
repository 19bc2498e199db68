/**
 * Whether who reports as an agent is the machine that this agent is, or a copy of it. Pure: docs/decisions/copies-of-machines.md
 * has the table of situations that this must come to.
 *
 *     nobody yet ─────────────────────────────────▶ accept: it is the one from now on
 *     hardware differs, ticket or not ────────────▶ copy
 *     some of it differs, ticket out of turn ─────▶ copy
 *     same run, ticket in turn ───────────────────▶ accept
 *     seen beside the one that is known ──────────▶ copy
 *     the one that is known said something lately ▶ wait: when that one speaks again, both live, and this one is a copy
 *     else ───────────────────────────────────────▶ accept: a reboot, or a return to an earlier state
 *
 * Tickets: each answer to a report may give one, which the machine keeps on its disk and shows with the next. A copy of the
 * disk, or of the running machine, has the ticket of the moment it was made: as soon as one of the two has shown a newer one,
 * the other one's is void.
 */
import { compareMachines, parseMachineIdentity } from '../../model/machine-identity.ts';

export interface Tickets {
  /** Shown with the last report that was accepted. */
  readonly shown: string | undefined;
  /** Given since: answers may have been lost, so each of them may come. */
  readonly given: readonly string[];
  readonly givenAt: number;
}

export interface Holder {
  readonly identity: string;
  readonly seenAt: number;
  readonly tickets: Tickets;
}

export type Verdict =
  /** `continues`: the very run that is known. */
  | { readonly verdict: 'accept'; readonly continues: boolean }
  | { readonly verdict: 'wait' }
  | { readonly verdict: 'copy'; readonly why: 'other-hardware' | 'seen-beside-it' };

/** The longest wait of an agent between two tries. */
const returnMilliseconds = 60_000;

export function judge(facts: {
  readonly holder: Holder | undefined;
  readonly identity: string;
  readonly ticket: string | undefined;
  /** This run was seen while the holder lived. */
  readonly isKnownCopy: boolean;
  readonly now: number;
  /** Nobody could report before. */
  readonly serverStartedAt: number;
  readonly silentMilliseconds: number;
}): Verdict {
  const { holder, now } = facts;
  const mine = parseMachineIdentity(facts.identity);
  const known = parseMachineIdentity(holder?.identity);
  // What is of another version says nothing that can be compared.
  if (!holder || !mine || !known) return { verdict: 'accept', continues: false };
  const isInTurn = isTicketInTurn(holder.tickets, facts.ticket);
  const likeness = compareMachines(known, mine);
  // With a ticket of before it is a machine that was reverted, or a copy: only its own hardware, whole, speaks for the first.
  if (likeness === 'other' || (likeness !== 'all' && !isInTurn))
    return { verdict: 'copy', why: 'other-hardware' };
  if (known.instance === mine.instance && isInTurn) return { verdict: 'accept', continues: true };
  if (facts.isKnownCopy) return { verdict: 'copy', why: 'seen-beside-it' };
  const spokenAt = Math.max(holder.seenAt, facts.serverStartedAt);
  // A copy of an earlier moment waits longer than a reboot: long enough for the one that is known to come back to a server
  // that it could not reach.
  const silentMilliseconds = facts.silentMilliseconds + (isInTurn ? 0 : returnMilliseconds);
  if (now - spokenAt < silentMilliseconds) return { verdict: 'wait' };
  return { verdict: 'accept', continues: false };
}

function isTicketInTurn(tickets: Tickets, ticket: string | undefined): boolean {
  return ticket === tickets.shown || (ticket !== undefined && tickets.given.includes(ticket));
}

/** Of answers that were lost one after the other; more than that is no report that arrives. */
const givenMax = 8;
/** How often a machine has to write a new one: as seldom as a copy may be made without being known by it. */
const ticketMilliseconds = 60_000;

/** After a report was accepted: the tickets from now on, and the one to answer with. */
export function nextTickets(
  before: Tickets | undefined,
  shown: string | undefined,
  now: number,
  make: () => string,
): { readonly tickets: Tickets; readonly answer: string | undefined } {
  const isNewest = before !== undefined && shown !== undefined && before.given.includes(shown);
  const isAgain = before !== undefined && shown === before.shown;
  // One that was given and is used now, not long ago: nothing to write down for the machine.
  if (isNewest && now - before.givenAt < ticketMilliseconds)
    return { tickets: { shown, given: [], givenAt: before.givenAt }, answer: undefined };
  if (isAgain && before.given.length === 0 && now - before.givenAt < ticketMilliseconds)
    return { tickets: before, answer: undefined };
  const answer = make();
  const given = isAgain ? [...before.given, answer].slice(-givenMax) : [answer];
  return { tickets: { shown, given, givenAt: now }, answer };
}
