/**
 * A request's body: read within a limit, parsed, and checked against the model that its operation names. What of a body nobody
 * wanted is read too, within another limit: a client that is still sending when the connection ends never sees the answer.
 */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import type { Operation } from '../../protocol/arm/description.ts';
import { checkRequest } from '../../protocol/arm/schemas.ts';
import { errors } from './errors.ts';
import { armBodyBytesMax, armUnreadBytesMax, armUnreadMilliseconds } from './limits.ts';

/** Undefined where the operation has no body and none came. */
export async function readArmBody(incoming: IncomingMessage, operation: Operation): Promise<unknown> {
  if (operation.method === 'GET' || operation.method === 'HEAD') return undefined;
  const encoding = incoming.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw errors.UnsupportedMediaType(encoding);
  const text = await readText(incoming, armBodyBytesMax);
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

/** Stops at the limit without ending the connection: the refusal must still get through. A byte order mark is left out. */
export function readText(incoming: IncomingMessage, bytesMax: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let length = 0;
  const take = (chunk: Buffer) => {
    length += chunk.byteLength;
    if (length > bytesMax) {
      incoming.off('data', take);
      incoming.pause();
      reject(errors.RequestEntityTooLarge(bytesMax));
    } else chunks.push(chunk);
  };
  incoming.on('data', take);
  incoming.once('end', () => {
    try {
      resolve(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
    } catch {
      reject(errors.InvalidRequestContent('The body of the request is not UTF-8.'));
    }
  });
  incoming.once('error', () => reject(errors.InvalidRequestContent('The body of the request was cut off.')));
  incoming.once('aborted', () =>
    reject(errors.InvalidRequestContent('The body of the request was cut off.')),
  );
  return promise;
}

/** Every problem by its path, as the models' own check says it (`readArmBody`). */
export const wrongBody = ({ issues }: z.ZodError) =>
  errors.InvalidRequestContent(
    `The request content was invalid: ${issues.map((issue) => `${issue.path.join('.') || 'the body'}: ${wordsOf(issue)}`).join('; ')}.`,
    issues[0]?.path.join('.'),
  );

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.input === undefined) return 'is required';
  const words = issue.message.replace('Invalid input: ', '').replace('Invalid ', 'no valid ');
  return `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
}

/** Reads what is left of a body and throws it away. False: there was more than the limits allow, or the client is gone. */
export async function readRest(incoming: IncomingMessage, clock: Clock): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let length = 0;
  const take = (chunk: Buffer) => {
    length += chunk.byteLength;
    if (length > armUnreadBytesMax) resolve(false);
  };
  const ended = () => resolve(true);
  const gone = () => resolve(false);
  incoming.on('data', take).once('end', ended).once('error', gone).once('close', gone).resume();
  try {
    return await withDeadline(clock, armUnreadMilliseconds, promise, () => new Error('late'));
  } catch {
    return false;
  } finally {
    incoming.off('data', take).off('end', ended).off('error', gone).off('close', gone);
  }
}
