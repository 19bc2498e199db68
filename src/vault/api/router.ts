/**
 * The table of handlers: every operation of the reference has exactly one, or a refusal with its reason. Put together once
 * at the start, so that a forgotten operation stops the vault there and not at a customer's call.
 */
import { operations } from '../../protocol/arm/description.ts';
import { ownOperations } from '../../protocol/arm/own-operations.ts';
import type { Handler, Handlers } from './operation.ts';

/** Throws for an operation with two handlers, or a handler without operation; and, when `whole`, for one without. */
export function handlerTable(
  nouns: readonly Handlers[],
  { whole = true }: { readonly whole?: boolean } = {},
): ReadonlyMap<string, Handler> {
  const known = new Set([...operations, ...ownOperations].map(({ id }) => id));
  const table = new Map<string, Handler>();
  const wrong: string[] = [];
  for (const handlers of nouns)
    for (const [id, handler] of Object.entries(handlers)) {
      if (!known.has(id)) wrong.push(`${id} is no operation`);
      if (table.has(id)) wrong.push(`${id} has two handlers`);
      table.set(id, handler);
    }
  // The status of an operation is the server's own.
  known.delete('replicationOperationStatus.get');
  if (whole) for (const id of known) if (!table.has(id)) wrong.push(`${id} has no handler`);
  if (wrong.length > 0) throw new Error(`the table of handlers is wrong: ${wrong.sort().join('; ')}`);
  return table;
}
