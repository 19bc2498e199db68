/**
 * Screens: hypervisors answer with PNG or with PPM, depending on their version; proof is always a PNG. Encoded here, with
 * zlib from Node, because an image library for one format with one filter would be the vault's largest dependency.
 */
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export const isPng = (image: Buffer): boolean => image.subarray(0, 8).equals(signature);

/** PNG stays as it is; binary PPM (P6, 8 bits) is encoded. Throws RangeError for anything else. */
export function toPng(image: Buffer): Buffer {
  if (isPng(image)) return image;
  const header = /^P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s/.exec(
    image.subarray(0, 200).toString('latin1'),
  );
  if (header === null) throw new RangeError('neither PNG nor binary PPM');
  const width = Number(header[1]);
  const height = Number(header[2]);
  const pixels = image.subarray(header[0].length);
  if (width === 0 || height === 0 || pixels.byteLength < width * height * 3)
    throw new RangeError(`a PPM of ${width} × ${height} with ${pixels.byteLength} bytes`);
  // Each row begins with its filter: 0, none.
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++)
    pixels.copy(rows, y * (1 + width * 3) + 1, y * width * 3, (y + 1) * width * 3);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Width, height, and whether anything at all is to be seen: a blank screen has one byte value after unfiltering. */
export function describePng(png: Buffer): { width: number; height: number; isBlank: boolean } {
  if (!isPng(png)) throw new RangeError('not a PNG');
  const parts: Buffer[] = [];
  let width = 0;
  let height = 0;
  for (let at = 8; at + 12 <= png.byteLength; ) {
    const length = png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (png.readUInt32BE(at + 8 + length) !== crc32(png.subarray(at + 4, at + 8 + length)))
      throw new RangeError(`the PNG's ${type} is damaged`);
    if (type === 'IHDR') {
      width = body.readUInt32BE(0);
      height = body.readUInt32BE(4);
    } else if (type === 'IDAT') parts.push(body);
    at += 12 + length;
  }
  const rows = inflateSync(Buffer.concat(parts));
  const rowBytes = rows.byteLength / height;
  // Filters turn an even picture into rows of zeroes after the first; so two rows that differ are content enough.
  const values = new Set<string>();
  for (let y = 1; y < height; y++) values.add(rows.toString('latin1', y * rowBytes, (y + 1) * rowBytes));
  return { width, height, isBlank: values.size < 3 };
}

function chunk(type: string, body: Buffer): Buffer {
  const whole = Buffer.alloc(12 + body.byteLength);
  whole.writeUInt32BE(body.byteLength, 0);
  whole.write(type, 4, 'latin1');
  body.copy(whole, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, 8 + body.byteLength)), 8 + body.byteLength);
  return whole;
}
