/**
 * Where the fields of a kernel event lie. The kernel writes events as plain C structures whose layout differs between
 * versions and vendors (a Red Hat 9 kernel shifts everything after the common header by 4 bytes; 6.11 put `ioprio` before
 * `rwbs`), and describes each in a `format` file. This room reads those descriptions; `ring-page.ts` reads events by them.
 *
 * It promises: a layout that is not exactly understood is an error, never a guess. Golden files of kernels 3.10 to 6.18
 * are in `test/golden/trace-format`.
 */
import { captureErrors } from './errors.ts';

export interface TraceField {
  /** The C type with an array's brackets, e.g. `char[8]`. */
  readonly type: string;
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

export interface EventFormat {
  readonly name: string;
  /** What `common_type` of such an event says. */
  readonly id: number;
  readonly fields: ReadonlyMap<string, TraceField>;
}

/** `block_rq_complete`, offsets from the start of the event's data. */
export interface CompletionLayout {
  readonly id: number;
  readonly devOffset: number;
  readonly sectorOffset: number;
  /** 4 on old 32-bit kernels. */
  readonly sectorBytes: 4 | 8;
  readonly countOffset: number;
  readonly rwbsOffset: number;
  /** `__data_loc`: offset in the low and length in the high 16 bits; what a passthrough command was, on old kernels. */
  readonly commandOffset: number;
  /** An event shorter than this is not one. */
  readonly bytesMin: number;
}

/** `block_bio_queue`: what was asked for, before anything is merged. */
export interface QueueLayout {
  readonly id: number;
  readonly devOffset: number;
  readonly sectorOffset: number;
  readonly sectorBytes: 4 | 8;
  readonly countOffset: number;
  readonly rwbsOffset: number;
  readonly bytesMin: number;
}

/** A line that was written to `trace_marker`. */
export interface MarkerLayout {
  readonly id: number;
  readonly textOffset: number;
}

/** A page of a ring, as `trace_pipe_raw` gives it. */
export interface PageLayout {
  readonly commitOffset: number;
  readonly dataOffset: number;
  /** Of the whole page; `buffer_subbuf_size_kb` may have made it more than 4096. */
  readonly pageBytes: number;
}

export function parseEventFormat(text: string, path = 'a format file'): EventFormat {
  const name = /^name:\s*(\S+)/m.exec(text)?.[1];
  const id = /^ID:\s*(\d+)/m.exec(text)?.[1];
  const fields = parseFields(text);
  const type = fields.get('common_type');
  if (name === undefined || id === undefined || type?.offsetBytes !== 0 || type.sizeBytes !== 2)
    throw captureErrors.TraceFormatUnknown(path, 'name, ID or common_type is missing');
  return { name, id: Number(id), fields };
}

export function completionLayout(format: EventFormat): CompletionLayout {
  const command = field(format, 'cmd', [4]);
  const { bytesMin, ...layout } = queueLayout(format);
  if (command.offsetBytes % 4 !== 0) throw unknown(format, 'cmd');
  return {
    ...layout,
    commandOffset: command.offsetBytes,
    bytesMin: Math.max(bytesMin, command.offsetBytes + command.sizeBytes),
  };
}

export function queueLayout(format: EventFormat): QueueLayout {
  const dev = field(format, 'dev', [4]);
  const sector = field(format, 'sector', [4, 8]);
  const count = field(format, 'nr_sector', [4]);
  const rwbs = field(format, 'rwbs');
  if (!rwbs.type.startsWith('char[') || rwbs.sizeBytes < 4) throw unknown(format, 'rwbs');
  const all = [dev, sector, count, rwbs];
  if ([dev, sector, count].some((each) => each.offsetBytes % 4 !== 0)) throw unknown(format, 'alignment');
  return {
    id: format.id,
    devOffset: dev.offsetBytes,
    sectorOffset: sector.offsetBytes,
    sectorBytes: sector.sizeBytes === 4 ? 4 : 8,
    countOffset: count.offsetBytes,
    rwbsOffset: rwbs.offsetBytes,
    bytesMin: Math.max(...all.map((each) => each.offsetBytes + each.sizeBytes)),
  };
}

export function markerLayout(format: EventFormat): MarkerLayout {
  return { id: format.id, textOffset: field(format, 'buf').offsetBytes };
}

/** `events/header_page`. */
export function parseHeaderPage(text: string, path = 'header_page'): PageLayout {
  const fields = parseFields(text);
  const timestamp = fields.get('timestamp');
  const commit = fields.get('commit');
  const data = fields.get('data');
  const pageBytes = data === undefined ? 0 : data.offsetBytes + data.sizeBytes;
  if (
    timestamp?.offsetBytes !== 0 ||
    timestamp.sizeBytes !== 8 ||
    commit?.offsetBytes !== 8 ||
    data === undefined ||
    data.offsetBytes < commit.offsetBytes + commit.sizeBytes ||
    data.offsetBytes % 4 !== 0 ||
    pageBytes % 4096 !== 0 ||
    // The kernel's own limit is 128 pages of 4 KiB (64 KiB pages exist on arm64).
    pageBytes > 1 << 22
  )
    throw captureErrors.TraceFormatUnknown(path, 'timestamp, commit or data is missing or elsewhere');
  return { commitOffset: commit.offsetBytes, dataOffset: data.offsetBytes, pageBytes };
}

function parseFields(text: string): Map<string, TraceField> {
  const fields = new Map<string, TraceField>();
  const line = /^\s*field:\s*([^;]+);\s*offset:\s*(\d+);\s*size:\s*(\d+);/gm;
  for (const [, declaration, offset, size] of text.matchAll(line)) {
    // `unsigned int nr_sector`, `char rwbs[8]`, `__data_loc char[] cmd`
    const parts = /^(.*\S)\s+(\w+)((?:\[\w*\])?)$/.exec(declaration!.trim());
    if (!parts) continue;
    const [, type, name, brackets] = parts;
    fields.set(name!, {
      type: `${type}${brackets}`,
      name: name!,
      offsetBytes: Number(offset),
      sizeBytes: Number(size),
    });
  }
  return fields;
}

function field(format: EventFormat, name: string, sizes?: readonly number[]): TraceField {
  const found = format.fields.get(name);
  if (!found || (sizes && !sizes.includes(found.sizeBytes))) throw unknown(format, name);
  return found;
}

function unknown(format: EventFormat, name: string): Error {
  return captureErrors.TraceFormatUnknown(format.name, `the field ${name} is missing or of an unknown form`);
}
