/** A request's body: read within a limit, parsed, and checked against the model that its operation names. */
import type { IncomingMessage } from 'node:http';
import type { Operation } from '../../protocol/arm/description.ts';
import { checkRequest } from '../../protocol/arm/schemas.ts';
import { errors } from './errors.ts';
import { armBodyBytesMax } from './limits.ts';

/** Undefined where the operation has no body and none came. */
export async function readArmBody(incoming: IncomingMessage, operation: Operation): Promise<unknown> {
  if (operation.method === 'GET' || operation.method === 'HEAD') return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.byteLength;
    if (length > armBodyBytesMax) throw errors.RequestEntityTooLarge(armBodyBytesMax);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  let body: unknown;
  if (text.trim() !== '') {
    try {
      body = JSON.parse(text);
    } catch {
      throw errors.InvalidRequestContent('The body of the request is not JSON.');
    }
  }
  if (operation.body === undefined) return body;
  // Clients leave an empty body out; whether the model can do without one, it says itself.
  const checked = checkRequest(operation.body, body ?? {});
  if (checked.problems.length > 0)
    throw errors.InvalidRequestContent(
      `The request content was invalid: ${checked.problems.map(({ path, message }) => `${path === '' ? 'the body' : path}: ${message}`).join('; ')}.`,
      checked.problems[0]!.path,
    );
  return checked.value;
}
