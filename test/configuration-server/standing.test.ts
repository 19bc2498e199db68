// Goal: an agent is one machine at a time, whatever copies of it come, and a machine that was rebooted, reverted or changed in
// part is let in again.
// Method: the table of docs/decisions/copies-of-machines.md; tickets against two machines that go on from one copy, whatever
// answers are lost.
import test from 'ava';
import {
  type Holder,
  judge,
  nextTickets,
  type Tickets,
} from '../../src/configuration-server/agents/standing.ts';
import { renderMachineIdentity } from '../../src/model/machine-identity.ts';

const silentMilliseconds = 30_000;
const hardware = { product: 'p1', nics: ['n1'], disks: ['d1'], system: 'm1' };
const text = (instance: string, changed: object = {}) =>
  renderMachineIdentity({ ...hardware, ...changed, instance });
const holder: Holder = {
  identity: text('a'),
  seenAt: 1_000_000,
  tickets: { shown: 't5', given: ['t6'], givenAt: 1_000_000 },
};
const soon = holder.seenAt + 29_000;
const later = holder.seenAt + 30_000;
const bare = { nics: [], disks: [], system: 'm1' };
/** Also for one that comes with an earlier state. */
const muchLater = holder.seenAt + 90_000;
const otherHardware = { product: 'p2', nics: ['n2'], disks: ['d2'] };

for (const [title, newcomer, verdict] of [
  ['the run that is known', { identity: text('a'), ticket: 't6', now: soon }, 'accept'],
  ['… that did not hear the answer', { identity: text('a'), ticket: 't5', now: soon }, 'accept'],
  [
    '… whose cards were all replaced',
    { identity: text('a', { nics: ['n9'] }), ticket: 't6', now: soon },
    'accept',
  ],
  ['rebooted at once', { identity: text('b'), ticket: 't6', now: soon }, 'wait'],
  ['rebooted', { identity: text('b'), ticket: 't6', now: later }, 'accept'],
  ['reverted with its memory', { identity: text('a'), ticket: 't2', now: soon }, 'wait'],
  ['… whose run before has just ended', { identity: text('a'), ticket: 't2', now: later }, 'wait'],
  ['… when it has been silent', { identity: text('a'), ticket: 't2', now: muchLater }, 'accept'],
  [
    'reverted to a snapshot, or restored in place',
    { identity: text('b'), ticket: 't2', now: muchLater },
    'accept',
  ],
  ['a copy beside it', { identity: text('b', otherHardware), ticket: 't2', now: soon }, 'copy'],
  ['a copy alone', { identity: text('b', otherHardware), ticket: 't6', now: later + 1e9 }, 'copy'],
  ['a copy that had no ticket', { identity: text('b', otherHardware), now: later }, 'copy'],
  [
    'a copy that was seen beside it',
    { identity: text('b'), ticket: 't6', isKnownCopy: true, now: later },
    'copy',
  ],
  [
    'half of it changed, with the ticket',
    { identity: text('b', { disks: [], nics: ['n9'] }), ticket: 't6', now: later },
    'accept',
  ],
  [
    'half of it changed, with an older ticket',
    { identity: text('b', { disks: [], nics: ['n9'] }), ticket: 't2', now: later },
    'copy',
  ],
  [
    'one of three changed, with an older ticket',
    { identity: text('b', { nics: ['n9'] }), ticket: 't2', now: later },
    'copy',
  ],
  [
    'nothing known of its hardware, with the ticket',
    { identity: renderMachineIdentity({ ...bare, instance: 'b' }), ticket: 't6', now: later },
    'accept',
  ],
  [
    'nothing known of its hardware, with an older ticket',
    { identity: renderMachineIdentity({ ...bare, instance: 'b' }), ticket: 't2', now: later },
    'copy',
  ],
  [
    'the server has just started',
    { identity: text('b'), ticket: 't6', now: later, startedAt: later - 1 },
    'wait',
  ],
  ['of a version that is not known', { identity: 'leeward-machine/2 x=1', now: soon }, 'accept'],
] as [
  string,
  { identity: string; ticket?: string; isKnownCopy?: boolean; now: number; startedAt?: number },
  string,
][])
  test(`${title}: ${verdict}`, (t) => {
    const judged = judge({
      holder,
      identity: newcomer.identity,
      ticket: newcomer.ticket,
      isKnownCopy: newcomer.isKnownCopy ?? false,
      now: newcomer.now,
      serverStartedAt: newcomer.startedAt ?? 0,
      silentMilliseconds,
    });
    t.is(judged.verdict, verdict as never);
  });

test('the first that comes is the one', (t) => {
  const judged = judge({
    holder: undefined,
    identity: text('a'),
    ticket: undefined,
    isKnownCopy: false,
    now: 0,
    serverStartedAt: 0,
    silentMilliseconds,
  });
  t.is(judged.verdict, 'accept');
});

/** The server's half of a report; answers whether it was taken, and with which ticket. */
class Site {
  tickets: Tickets | undefined;
  now = 0;
  #count = 0;

  report(ticket: string | undefined): { taken: boolean; answer: string | undefined } {
    const judged = judge({
      holder: this.tickets && { identity: text('a'), seenAt: this.now, tickets: this.tickets },
      identity: text('a'),
      ticket,
      isKnownCopy: false,
      now: this.now,
      serverStartedAt: 0,
      silentMilliseconds,
    });
    if (judged.verdict !== 'accept') return { taken: false, answer: undefined };
    const { tickets, answer } = nextTickets(this.tickets, ticket, this.now, () => `t${++this.#count}`);
    this.tickets = tickets;
    return { taken: true, answer };
  }
}

test('a machine that loses answers, however many, is always in turn, and writes a ticket a minute', (t) => {
  const site = new Site();
  let ticket: string | undefined;
  let written = 0;
  for (let round = 0; round < 600; round++) {
    site.now += 10_000;
    const { taken, answer } = site.report(ticket);
    t.true(taken, `report ${round}`);
    // One answer of three is lost in the first half.
    if (answer === undefined || (round < 300 && round % 3 === 0)) continue;
    ticket = answer;
    if (round >= 300) written += 1;
  }
  t.true(written > 0 && written <= 60, `${written} tickets in 300 reports of 10 s`);
});

test('of two runs that one copy of the memory made, one is out of turn within a few reports', (t) => {
  for (const order of [
    [0, 1],
    [1, 0],
    [0, 0, 1],
    [1, 1, 1, 0],
  ]) {
    const site = new Site();
    let common: string | undefined;
    for (let round = 0; round < 20; round++) {
      site.now += 10_000;
      common = site.report(common).answer ?? common;
    }
    const tickets = [common, common];
    const refused = [false, false];
    for (let round = 0; round < 60 && !refused.includes(true); round++) {
      site.now += 5_000;
      const which = order[round % order.length]!;
      const { taken, answer } = site.report(tickets[which]);
      refused[which] = !taken;
      tickets[which] = answer ?? tickets[which];
    }
    t.is(refused.filter((each) => each).length, 1, order.join());
  }
});
