/** GUIDs that are the same each time they are derived: a step that runs again finds what it made before. */
import { createHash } from 'node:crypto';

export function derivedId(...from: readonly string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(from)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
