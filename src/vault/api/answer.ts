/**
 * From what a handler answers to status, headers and body. Links are built from the configured public URL and never from
 * what a request says of itself: clients send their token to whatever host a link names.
 *
 *     long-running ─▶ 202  Azure-AsyncOperation  {vault}/replicationOperationStatus/{job}     a document with a status
 *                          Location              {resource}/operationresults/{job}            202, then the resource
 *                          Retry-After
 */
import type { Operation } from '../../protocol/arm/description.ts';
import type { Job } from '../jobs/jobs.ts';
import { envelope, errors } from './errors.ts';
import type { ArmAnswer } from './operation.ts';
import { skipToken, skipTokenName } from './paging.ts';

export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface AnswerTo {
  readonly operation: Operation;
  /** Percent-encoded, as it came. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Of the vault in the path, percent-encoded. */
  readonly vaultPath: string;
  readonly publicUrl: string;
  readonly retryAfterSeconds: number;
}

export function render(answer: ArmAnswer, to: AnswerTo): Rendered {
  if ('body' in answer)
    return {
      status: answer.created ? 201 : 200,
      headers: answer.underWay ? { 'retry-after': String(to.retryAfterSeconds) } : {},
      body: answer.body,
    };
  if ('page' in answer)
    return {
      status: 200,
      headers: {},
      body: {
        value: answer.page,
        ...(answer.next === undefined ? {} : { nextLink: nextLink(answer.next, to) }),
      },
    };
  if ('jobId' in answer)
    return accepted(
      `${to.vaultPath}/replicationOperationStatus/${answer.jobId}`,
      `${resourcePathOf(to)}/operationresults/${answer.jobId}`,
      to,
    );
  if ('accepted' in answer) return accepted(answer.accepted.statusPath, answer.accepted.resultPath, to);
  return { status: 204, headers: {}, body: undefined };
}

/** A job as the document that `Azure-AsyncOperation` leads to. */
export function operationStatus(job: Job, id: string): unknown {
  const error = job.errors[0];
  const failed = job.state === 'Failed';
  return {
    id,
    name: job.jobId,
    // The reference's four words; a suspended job goes on, so it is in progress.
    status:
      { Succeeded: 'Succeeded', Failed: 'Failed', Cancelled: 'Canceled' }[job.state as string] ??
      'InProgress',
    startTime: job.startedAt ?? job.createdAt,
    ...(job.endedAt === undefined ? {} : { endTime: job.endedAt }),
    ...(job.progress?.fraction === undefined
      ? {}
      : { percentComplete: Math.round(job.progress.fraction * 100) }),
    properties: null,
    ...(failed
      ? {
          error: {
            code: error?.code ?? 'JobFailed',
            message: error?.summary ?? 'The job failed without naming an error.',
            details: job.errors.map((one) => ({
              code: one.code,
              message: one.summary,
              possibleCauses: one.possibleCauses,
              recommendedAction: one.recommendedAction,
            })),
          },
        }
      : {}),
  };
}

/** Of an ended job whose result is asked for, when there is none: it failed or was cancelled. */
export function jobFailure(
  job: Job,
  ids: { readonly clientRequestId: string; readonly correlationId: string },
): Rendered {
  const error = job.state === 'Cancelled' ? errors.JobCancelled(job.jobId) : job.errors[0];
  return {
    status: job.state === 'Cancelled' ? 409 : 400,
    headers: {},
    body: envelope(
      error ?? {
        code: 'JobFailed',
        summary: 'The job failed without naming an error.',
        possibleCauses: 'A defect of the vault.',
        recommendedAction: `Look at the tasks of job ${job.jobId}.`,
      },
      ids,
    ),
  };
}

/** 202 again, for those who poll a result that is not there yet. */
export function notYet(path: string, query: URLSearchParams, publicUrl: string, seconds: number): Rendered {
  return {
    status: 202,
    headers: { location: link(publicUrl, path, query), 'retry-after': String(seconds) },
    body: undefined,
  };
}

function accepted(statusPath: string, resultPath: string, to: AnswerTo): Rendered {
  return {
    status: 202,
    headers: {
      'azure-asyncoperation': link(to.publicUrl, statusPath, to.query),
      location: link(to.publicUrl, resultPath, to.query),
      'retry-after': String(to.retryAfterSeconds),
    },
    body: undefined,
  };
}

/** Without the verb that a POST ends in. */
const resourcePathOf = ({ operation, path }: AnswerTo): string =>
  operation.method === 'POST' ? path.replace(/\/[^/]+\/?$/, '') : path.replace(/\/$/, '');

function link(publicUrl: string, path: string, query: URLSearchParams): string {
  const url = new URL(publicUrl);
  // Set and not resolved against: a path that begins with two slashes would be taken for a host.
  url.pathname = path;
  url.search = new URLSearchParams({ 'api-version': query.get('api-version') ?? '' }).toString();
  return url.href;
}

function nextLink(next: string, { operation, path, query, publicUrl }: AnswerTo): string {
  const url = new URL(publicUrl);
  url.pathname = path;
  const search = new URLSearchParams(query);
  search.set(skipTokenName(operation), skipToken(operation, next));
  url.search = search.toString();
  return url.href;
}
