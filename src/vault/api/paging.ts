/**
 * Pages of lists, as the reference turns them: the next page's address comes with the one before (`nextLink`), and the token
 * in it says nothing to a client. Handlers ask `pageOf` where to begin and answer `{page, next}`; the link is made in
 * `answer.ts`. The token's name differs by operation: `skipToken` or `$skipToken`.
 *
 *     token = base64url( version, sum over list and place, place )
 *
 * The sum refuses what was written by hand or belongs to another list, instead of answering rows from anywhere. It is no
 * signature: whoever makes one up sees no more than the list would show.
 */
import { createHash } from 'node:crypto';
import type { Operation } from '../../protocol/arm/description.ts';
import type { PageRequest } from '../store/resources.ts';
import { errors } from './errors.ts';
import { armPageMax } from './limits.ts';
import type { ArmRequest } from './operation.ts';

export const skipTokenName = (operation: Operation): string =>
  operation.query.includes('skipToken') ? 'skipToken' : '$skipToken';

/** In a token only so that what is in a link today is told from what a later version puts there. */
const version = '3';
const sumLength = 10;
/** The longest place is three cursors of the events, below 200 characters. */
const tokenMax = 2000;

const sumOf = (operation: Operation, place: string): string =>
  createHash('sha256').update(`${operation.id}\n${place}`).digest('base64url').slice(0, sumLength);

export const skipToken = (operation: Operation, next: string): string =>
  Buffer.from(`${version}${sumOf(operation, next)}${next}`).toString('base64url');

/** `$top`, `$take` and `takeToken` make pages smaller, never larger. */
export function pageOf(request: Pick<ArmRequest, 'operation' | 'query'>): PageRequest {
  const { operation, query } = request;
  const given = query.get(skipTokenName(operation));
  let after: string | undefined;
  if (given !== null && given !== '') {
    after = Buffer.from(given, 'base64url')
      .toString()
      .slice(version.length + sumLength);
    if (given.length > tokenMax || skipToken(operation, after) !== given)
      throw errors.InvalidQueryParameter(skipTokenName(operation), 'it is not a token of this list');
  }
  let limit = armPageMax;
  for (const name of ['$top', '$take', 'takeToken']) {
    const value = query.get(name);
    if (value === null || value === '') continue;
    if (!/^[1-9]\d{0,8}$/.test(value))
      throw errors.InvalidQueryParameter(name, 'it must be a whole number from 1');
    limit = Math.min(limit, Number(value));
  }
  return { limit, after };
}
