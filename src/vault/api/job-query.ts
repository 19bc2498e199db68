/** The reference's `JobQueryParameter`: in a list's `$filter` and in the body of an export. */

import type { Job, JobFilter } from '../jobs/jobs.ts';
import { errors } from './errors.ts';
import { lastName } from './noun.ts';
import { fabricNameOf } from './site-reader.ts';

export const jobQueryFields = [
  'startTime',
  'endTime',
  'fabricId',
  'affectedObjectTypes',
  'jobStatus',
  'jobOutputType',
  'jobName',
  'timezoneOffset',
] as const;
export type JobQuery = Partial<Record<(typeof jobQueryFields)[number], string>>;

const states: readonly Job['state'][] = [
  'NotStarted',
  'InProgress',
  'Succeeded',
  'Failed',
  'Cancelled',
  'Suspended',
];
/** What the engine can narrow by, and what is left to look at. */
export function jobFilter(
  vaultId: string,
  query: JobQuery,
): { filter: JobFilter; rest: (job: Job) => boolean } {
  const words = (text: string | undefined) =>
    text?.split(',').flatMap((word) => (word.trim() === '' ? [] : [word.trim()]));
  const wished = words(query.jobStatus)?.map((word) => {
    const state = states.find((one) => one.toLowerCase() === word.toLowerCase());
    if (state === undefined)
      throw errors.InvalidQueryParameter('$filter', `jobStatus is one of ${states.join(', ')}, not ${word}`);
    return state;
  });
  const fabric = query.fabricId && lastName(query.fabricId).toLowerCase();
  const name = query.jobName?.toLowerCase();
  return {
    filter: {
      vaultId,
      topLevelOnly: true,
      states: wished,
      targetTypes: words(query.affectedObjectTypes),
      from: moment(query.startTime, 'startTime'),
      to: moment(query.endTime, 'endTime'),
    },
    rest: (job) =>
      (fabric === undefined || fabric === '' || fabricNameOf(job.target.id).toLowerCase() === fabric) &&
      (name === undefined ||
        [job.scenarioName, job.friendlyName, job.jobId].some((text) => text.toLowerCase() === name)),
  };
}

/** As ISO 8601 in UTC; clients write moments in several ways. */
export function moment(text: string | undefined, field: string, parameter = '$filter'): string | undefined {
  if (text === undefined) return undefined;
  const milliseconds = Date.parse(text);
  if (Number.isNaN(milliseconds))
    throw errors.InvalidQueryParameter(parameter, `${field} is no moment: ${text}`);
  return new Date(milliseconds).toISOString();
}
