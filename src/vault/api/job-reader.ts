/** What the API needs of jobs to answer those who poll: the job of a GUID. `vault/jobs` has it. */
import type { Jobs } from '../jobs/jobs.ts';

export type JobReader = Pick<Jobs, 'get'>;
