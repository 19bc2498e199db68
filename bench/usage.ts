/** Processor time and peak memory of running daemons with all their children, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second: 100 on every Linux that Node runs on. */
const ticks = 100;

/** Seconds that the process and everything below it have used, ended children included. */
export function cpuSecondsOf(pid: number): number {
  let total = 0;
  for (const member of treeOf(pid)) {
    const fields = statOf(member);
    // utime, stime and those of children that were waited for.
    if (fields) total += [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / ticks;
  }
  return total;
}

/** The largest that the process ever was, in MiB; its children are not in it. */
export const peakMebibytesOf = (pid: number): number => mebibytesOf(pid, 'VmHWM');

/** How large it is now, in MiB; its children are not in it. */
export const residentMebibytesOf = (pid: number): number => mebibytesOf(pid, 'VmRSS');

function mebibytesOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? Number(statOf(pid)?.[1]) : Number.NaN;
    if (Number.isInteger(parent)) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The fields behind the name: state, parent, … Undefined when the process has ended. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
