/**
 * The service's end of the pipe to the thaw helper (`thaw-helper.c`): starts it, writes its one-letter commands, reads its
 * one-line answers. A leaf adapter: node:child_process is used here directly, because the child lives through a whole
 * freeze and must not be waited for, buffered or killed as ordinary commands are.
 *
 * While file systems stand still, everything here is memory and a socket pair: no file is touched, nothing is logged.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { answerCharactersMax } from './limits.ts';

/** `ready mounts=2 ids=3,4` → `{ word: 'ready', fields: { mounts: '2', ids: '3,4' } }` */
export interface Answer {
  readonly word: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface ThawLink {
  send(text: string): void;
  /** The next answer; `undefined` once the helper and its guard have both ended. */
  next(): Promise<Answer | undefined>;
  /** Settles when the helper and its guard have both closed their output: the kernel has come back from everything. */
  readonly ended: Promise<void>;
  readonly processId: number | undefined;
  /** For people, when nothing else was said. */
  readonly complaint: () => string;
  /** The helper meets the end of its input, and thaws if something stands still. */
  hangUp(): void;
}

export function parseAnswer(line: string): Answer {
  const [word = '', ...rest] = line.split(' ');
  const pairs = rest.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
  return { word, fields: Object.fromEntries(pairs) as Record<string, string> };
}

/** `-` → none; `0,3` → [0, 3] */
export function parseNumbers(text: string | undefined): number[] {
  return text === undefined || text === '-' || text === '' ? [] : text.split(',').map(Number);
}

/** `list`: the file systems, as `thaw-helper.c` wants to be told of them. */
export function openThawLink(helperPath: string, notePath: string, list: string): ThawLink {
  const child: ChildProcess = spawn(helperPath, ['--note', notePath], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // An own process group: a Ctrl-C at a terminal is the service's to handle, which then hangs up.
    detached: true,
    env: {},
    cwd: '/',
  });
  const answers: Answer[] = [];
  const waiting: ((answer: Answer | undefined) => void)[] = [];
  let open = true;
  let complaint = '';
  let rest = '';
  const deliver = (answer: Answer): void => {
    const waiter = waiting.shift();
    if (waiter) waiter(answer);
    else answers.push(answer);
  };
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const close = (): void => {
    if (!open) return;
    open = false;
    for (const waiter of waiting.splice(0)) waiter(undefined);
    end();
  };
  child.stdout!.setEncoding('latin1');
  child.stdout!.on('data', (text: string) => {
    rest += text;
    // A line or two a command; a longer one than the bound would be another program's.
    if (rest.length > answerCharactersMax) return void child.stdout!.destroy();
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      deliver(parseAnswer(rest.slice(0, end)));
      rest = rest.slice(end + 1);
    }
  });
  child.stdout!.on('close', close);
  child.stdout!.on('error', close);
  child.stderr!.setEncoding('utf8');
  child.stderr!.on('data', (text: string) => {
    complaint = (complaint + text).slice(-400);
  });
  child.on('error', (error) => {
    complaint = error.message;
    close();
  });
  // EPIPE when the helper is gone; that it is gone is seen at its output.
  child.stdin!.on('error', () => {});
  child.unref();
  child.stdin!.write(list);
  return {
    send: (text) => void child.stdin!.write(text),
    next: () => {
      const answer = answers.shift();
      if (answer) return Promise.resolve(answer);
      if (!open) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },
    ended,
    processId: child.pid,
    complaint: () => complaint.trim(),
    hangUp: () => void child.stdin!.end(),
  };
}
