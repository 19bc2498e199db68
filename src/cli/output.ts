/** How answers look: tables for people, JSON for programs; progress on standard error, so that it never mixes with either. */
import { styleText } from 'node:util';

export type OutputForm = 'table' | 'json';

/** Columns are as wide as their widest cell; the last one is not padded. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
  return [styleText('bold', line(headings)), ...rows.map(line)].join('\n');
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** How this command was called, so that what is said to do next can be typed as it stands. */
let calledAs = 'leeward';
export function setCalledAs(words: string): void {
  calledAs = words;
}

/** The same in an error's text, where commands stand between backticks. */
export const asCalled = (text: string): string => text.replaceAll(/`leeward (?=[a-z-])/g, `\`${calledAs} `);

/** A command ends with what to do next. */
export function printNext(next: string): void {
  console.log(`\nnext: ${next.replaceAll(/\bleeward (?=[a-z-])/g, `${calledAs} `)}`);
}

export function print(form: OutputForm, value: unknown, table: () => string, next?: string): void {
  if (form === 'json') console.log(JSON.stringify(value, null, 2));
  else {
    console.log(table());
    if (next !== undefined) printNext(next);
  }
}

let shownLast = '';

/**
 * One line that is written over on a terminal; where there is none, a line whenever the text changes and for each tenth of
 * the way, so that a log stays readable. `detail` changes all the time, so it asks for no line of its own.
 */
export function showProgress(text: string, fraction: number | undefined, detail = ''): void {
  const { isTTY } = process.stderr;
  const percent = fraction === undefined ? undefined : Math.round(fraction * 100);
  const step = percent === undefined || isTTY ? percent : percent - (percent % 10);
  const shown = step === undefined ? text : `${text} ${step} %`;
  const line = detail === '' ? shown : `${shown}, ${detail}`;
  const compared = isTTY ? line : shown;
  if (compared === shownLast) return;
  shownLast = compared;
  // A line that wraps could not be written over.
  const fitting = line.slice(0, (process.stderr.columns || 80) - 1);
  process.stderr.write(isTTY ? `\r\x1b[K${fitting}` : `${line}\n`);
}

export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}
