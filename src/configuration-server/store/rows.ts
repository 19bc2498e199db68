/** From database columns to values. MariaDB answers JSON columns as text, MySQL as values. */
export function iso(value: unknown): string {
  return (value instanceof Date ? value : new Date(String(value))).toISOString();
}

export function json(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}
