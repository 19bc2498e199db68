/** What the benchmarks found, as a table for people and as a list for machines. Pure. */

export interface Row {
  readonly work: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  /** Undefined when it could not be measured; `error` then says why. */
  readonly ours?: number | undefined;
  readonly peers: Readonly<Record<string, number>>;
  /** Peers that encrypt and compress as we do: the ones to be compared with. None: all peers count. */
  readonly fair?: readonly string[];
  /** The bytes at the far end were compared with the source's, ours and every peer's. */
  readonly verified: boolean;
  /** What the ratio should be. */
  readonly ratioWanted?: number;
  /** Where the time goes; shown when the ratio is missed. */
  readonly where?: string;
  readonly note?: string;
  readonly error?: string;
}

export interface Result {
  readonly work: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly ours: number | null;
  readonly peers: Readonly<Record<string, number>>;
  /** Above 1: we are that many times better than the best fair peer. Null: there is none. */
  readonly ratio: number | null;
  readonly verified: boolean;
  readonly note?: string;
  readonly error?: string;
}

export function resultOf(row: Row): Result {
  const { work, unit, higherIsBetter, peers, verified, error, ratioWanted, where } = row;
  const fair = Object.entries(peers).filter(([name]) => row.fair === undefined || row.fair.includes(name));
  const figures = fair.map(([, figure]) => figure);
  const best = higherIsBetter ? Math.max(...figures) : Math.min(...figures);
  const ours = row.ours ?? null;
  const isComparable = ours !== null && ours > 0 && figures.length > 0 && best > 0;
  const ratio = isComparable ? rounded(higherIsBetter ? ours / best : best / ours) : null;
  const missed =
    ratio !== null && ratioWanted !== undefined && ratio < ratioWanted
      ? [`MISSED, ${ratioWanted}x wanted`, ...(where === undefined ? [] : [`where the time goes: ${where}`])]
      : [];
  const notes = [...(row.note === undefined ? [] : [row.note]), ...missed];
  return {
    ...{ work, unit, higherIsBetter, ours: ours === null ? null : rounded(ours) },
    peers: Object.fromEntries(Object.entries(peers).map(([name, figure]) => [name, rounded(figure)])),
    ratio,
    verified: verified && error === undefined,
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
    ...(error === undefined ? {} : { error }),
  };
}

export function renderTable(results: readonly Result[]): string {
  const head = ['work', 'unit', 'ours', 'ratio', 'verified', 'peers'];
  const lines = results.map((result) => [
    result.work,
    result.unit,
    result.ours === null ? '-' : String(result.ours),
    result.ratio === null ? '-' : `${result.ratio}x`,
    result.verified ? 'yes' : 'NO',
    Object.entries(result.peers)
      .sort(([, one], [, other]) => (result.higherIsBetter ? other - one : one - other))
      .map(([name, figure]) => `${name} ${figure}`)
      .join(', '),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]!.length)),
  );
  const draw = (line: readonly string[]) =>
    line
      .map((cell, column) => (column === line.length - 1 ? cell : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
  const notes = results.flatMap(({ work, note, error }) => [
    ...(note === undefined ? [] : [`${work}: ${note}`]),
    ...(error === undefined ? [] : [`${work}: FAILED: ${error}`]),
  ]);
  return [draw(head), draw(widths.map((width) => '-'.repeat(width))), ...lines.map(draw), '', ...notes].join(
    '\n',
  );
}

/** Three digits say all that a measurement can. */
function rounded(figure: number): number {
  return Number(figure.toPrecision(3));
}
