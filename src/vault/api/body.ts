/** A request's body: read within a limit, parsed, and checked against the model that its operation names. */
import type { IncomingMessage } from 'node:http';
import type { Operation } from '../../protocol/arm/description.ts';
import { checkRequest } from '../../protocol/arm/schemas.ts';
import { errors } from './errors.ts';
import { armBodyBytesMax } from './limits.ts';

/** Undefined where the operation has no body and none came. */
export async function readArmBody(incoming: IncomingMessage, operation: Operation): Promise<unknown> {
  if (operation.method === 'GET' || operation.method === 'HEAD') return undefined;
  const text = await textOf(incoming);
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

/** Stops at the limit without ending the connection: the refusal must still get through. */
function textOf(incoming: IncomingMessage): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let length = 0;
  const take = (chunk: Buffer) => {
    length += chunk.byteLength;
    if (length > armBodyBytesMax) {
      incoming.off('data', take);
      incoming.pause();
      reject(errors.RequestEntityTooLarge(armBodyBytesMax));
    } else chunks.push(chunk);
  };
  incoming.on('data', take);
  incoming.once('end', () => resolve(Buffer.concat(chunks).toString()));
  incoming.once('error', () => reject(errors.InvalidRequestContent('The body of the request was cut off.')));
  incoming.once('aborted', () =>
    reject(errors.InvalidRequestContent('The body of the request was cut off.')),
  );
  return promise;
}
