/**
 * Jobs: lists by the reference's query, one with its tree of tasks, and steering. Cancel, resume and restart are done at once,
 * so they answer at once; what they set going is looked at in the job itself.
 */
import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import { pageKey } from '../jobs/job-store.ts';
import type { Job, JobError, JobTask } from '../jobs/jobs.ts';
import { type TestFailoverRecord, testFailoverRecords } from '../store/test-failovers.ts';
import type { OrderOutcome } from '../workflows/item-steps.ts';
import type { VerifyOutput } from '../workflows/verify-item.ts';
import { errors } from './errors.ts';
import { jobFilter, jobQueryFields } from './job-query.ts';
import { type NounParts, notFound, propertiesOf, resourceView, startJob, targetOf, vaultOf } from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';

/** Jobs looked through for one page of those that fit, before what was found is answered as it is. */
const lookedThroughMax = 5000;
const lookedAtOnce = 200;

export function jobs(parts: NounParts): Handlers {
  const { jobs: engine, database } = parts;
  const failovers = testFailoverRecords(database);

  const jobOf = async (request: ArmRequest): Promise<Job> => {
    const name = request.parameters.jobName!;
    const job = await engine.get(name.toLowerCase());
    if (job === undefined || idKey(job.vaultId) !== idKey(vaultOf(request)))
      throw notFound(childId(vaultOf(request), 'replicationJobs', name));
    return job;
  };
  const whole = async (job: Job): Promise<unknown> => {
    const tasks = await engine.tasks(job.jobId);
    return jobView(job, tasks, await customDetails(job, tasks));
  };
  /** What a test failover's job says comes from the record of the test, which has the job's id; a plan's from its machines' jobs. */
  const customDetails = async (job: Job, tasks: readonly JobTask[]): Promise<unknown> => {
    const affectedObjectDetails = { PrimaryId: job.target.id, PrimaryName: job.target.name };
    const jobs = job.target.type === 'RecoveryPlan' ? machinesJobs(job, tasks) : [job];
    if (job.scenarioName === 'TestFailover') {
      const records = await Promise.all(jobs.map(({ jobId }) => failovers.byId(jobId)));
      const found = records.filter((record) => record !== undefined);
      const [first] = found;
      if (first !== undefined)
        return {
          instanceType: 'TestFailoverJobDetails',
          affectedObjectDetails: {
            ...affectedObjectDetails,
            ...(job.target.type === 'RecoveryPlan' ? {} : measured(first)),
          },
          // Of several the one that is furthest from its end.
          testFailoverStatus:
            (['running', 'starting', 'cleaning', 'failed'] as const).find((state) =>
              found.some((one) => one.state === state),
            ) ?? 'cleaned',
          comments: first.notes ?? '',
          networkName: first.networkName,
          networkFriendlyName: first.networkName,
          networkType: first.networkName.startsWith('leeward-test-')
            ? 'NoNetworkAttachAsInput'
            : 'VmNetworkAsInput',
          protectedItemDetails: jobs.flatMap(({ jobId, target }) => {
            const record = found.find(({ failoverId }) => failoverId === jobId);
            return record === undefined ? [] : [rehearsed(target.name, record)];
          }),
        };
    }
    const output = (job.output ?? {}) as Record<string, unknown>;
    if (job.workflow === 'export-jobs')
      return {
        instanceType: 'ExportJobDetails',
        affectedObjectDetails,
        ...(typeof output.text === 'string'
          ? {
              blobUri: `data:application/json;base64,${Buffer.from(output.text).toString('base64')}`,
              sasToken: '',
            }
          : {}),
      };
    if (/Failover$/.test(job.scenarioName))
      return {
        instanceType: 'FailoverJobDetails',
        affectedObjectDetails: { ...affectedObjectDetails, ...toKnow(job, tasks) },
        protectedItemDetails: jobs.map(failedOver),
      };
    if (job.workflow === 'verify-item') return verified(tasks, affectedObjectDetails);
    return { instanceType: 'AsrJobDetails', affectedObjectDetails };
  };

  return {
    'replicationJobs.list': async (request) => {
      const { filter, rest } = jobFilter(
        vaultOf(request),
        parseFilter(request.query.get('$filter'), jobQueryFields),
      );
      const { limit, after } = pageOf(request);
      const found: Job[] = [];
      let cursor = after;
      for (let looked = 0; looked < lookedThroughMax; looked += lookedAtOnce) {
        const page = await engine.list(filter, { limit: lookedAtOnce, after: cursor });
        for (const job of page.jobs) {
          if (found.length === limit) return answer(pageKey(found.at(-1)!));
          if (rest(job)) found.push(job);
        }
        cursor = page.next;
        if (cursor === undefined) return answer(undefined);
      }
      return answer(cursor);

      function answer(next: string | undefined) {
        return { page: found.map((job) => jobView(job, [], plainDetails(job))), next };
      }
    },
    'replicationJobs.get': async (request) => ({ body: await whole(await jobOf(request)) }),
    'replicationJobs.cancel': async (request) => {
      const { jobId } = await jobOf(request);
      await engine.cancel(jobId, request.principal.objectId);
      return { body: await whole((await engine.get(jobId))!) };
    },
    'replicationJobs.resume': async (request) => {
      const { jobId } = await jobOf(request);
      const { comments } = propertiesOf<{ comments?: string }>(request);
      await engine.resume(jobId, comments ?? '', request.principal.objectId);
      return { body: await whole((await engine.get(jobId))!) };
    },
    'replicationJobs.restart': async (request) => {
      const { jobId } = await jobOf(request);
      const again = await engine.restart(jobId, request.principal.objectId);
      return { body: await whole((await engine.get(again))!) };
    },
    'replicationJobs.export': async (request) => {
      const query = (request.body ?? {}) as Record<string, string | number | undefined>;
      const output = String(query.jobOutputType ?? 'Json');
      if (output !== 'Json')
        throw errors.OperationNotSupported(
          `Jobs are exported as Json, not as ${output}.`,
          'The reference also writes XML and Excel files.',
          'Ask for jobOutputType Json.',
        );
      const asked = Object.fromEntries(
        jobQueryFields.flatMap((field) =>
          query[field] === undefined ? [] : [[field, String(query[field])]],
        ),
      );
      // What is wrong with it is said now, not by a job that fails.
      jobFilter(vaultOf(request), asked);
      const vaultId = vaultOf(request);
      return startJob(
        parts,
        request,
        'export-jobs',
        { ...targetOf(vaultId), id: `${vaultId}/replicationJobs/export` },
        {
          vaultId,
          query: asked,
        },
        // Nobody waits for somebody else's.
        `${vaultId}/replicationJobs/export/${parts.random.uuid()}`,
      );
    },
  };
}

/** Jobs that a plan's job has started to do the same to each of its machines. */
const machinesJobs = ({ scenarioName }: Job, tasks: readonly JobTask[]): Job[] =>
  tasks
    .flatMap(({ children }) => children)
    .flatMap(({ job }) =>
      job.target.type === 'ProtectionEntity' && job.scenarioName === scenarioName ? [job] : [],
    );

const rehearsed = (name: string, record: TestFailoverRecord): unknown => ({
  name,
  friendlyName: record.itemName,
  testVmName: record.machineName,
  testVmFriendlyName: record.machineName,
  networkConnectionStatus: record.address === undefined ? 'Unknown' : 'Connected',
  networkFriendlyName: record.networkName,
  subnet: '',
  recoveryPointId: record.pointId,
  recoveryPointTime: record.pointTakenAt,
});

function failedOver({ target, output: given }: Job): unknown {
  const output = (given ?? {}) as Record<string, unknown>;
  return {
    name: target.name,
    friendlyName: target.name,
    ...(typeof output.machineName === 'string'
      ? { testVmName: output.machineName, testVmFriendlyName: output.machineName }
      : {}),
    ...(typeof output.networkName === 'string' ? { networkFriendlyName: output.networkName } : {}),
    ...(typeof output.pointId === 'string' ? { recoveryPointId: output.pointId } : {}),
    ...(typeof output.pointTakenAt === 'string' ? { recoveryPointTime: output.pointTakenAt } : {}),
  };
}

/** Why a failover is `CompletedWithInformation`. */
function toKnow(job: Job, tasks: readonly JobTask[]): Record<string, string> {
  if (job.stateDescription !== 'CompletedWithInformation' || job.target.type !== 'ProtectionEntity')
    return {};
  const asked = tasks.find(({ name }) => name === 'ShutDownSource')?.output as
    | OrderOutcome
    | null
    | undefined;
  const { pointTakenAt } = (job.output ?? {}) as { readonly pointTakenAt?: string };
  const source =
    asked?.outcome === 'done'
      ? 'the source is off'
      : asked?.outcome === 'trusted'
        ? 'the source is off by the word of whoever resumed this job'
        : 'nobody knows whether the source is off: look at it, and switch it off';
  return {
    Information: `${source}; what it wrote after ${pointTakenAt ?? 'the recovery point'} is not in the machine that runs now`,
  };
}

/** What a rehearsal measured and kept as proof. */
const measured = (record: TestFailoverRecord): Record<string, string> =>
  Object.fromEntries(
    (['powerOnSeconds', 'readySeconds', 'accelerator', 'address', 'screenshot'] as const).flatMap((name) =>
      record[name] === undefined ? [] : [[name, String(record[name])]],
    ),
  );

/** What was read back and what was wrong with it, as text: the one place that the reference has for it. */
function verified(
  tasks: readonly JobTask[],
  affectedObjectDetails: Readonly<Record<string, string>>,
): unknown {
  const output = tasks.find(({ name }) => name === 'ReadBack')?.output as VerifyOutput | null | undefined;
  return {
    instanceType: 'AsrJobDetails',
    affectedObjectDetails: {
      ...affectedObjectDetails,
      ...(output
        ? {
            manifests: String(output.manifestCount),
            recoveryPoints: String(output.pointCount),
            verifiedBytes: String(output.checkedBytes),
            findings: String(output.findings.length),
            ...Object.fromEntries(output.findings.map((finding, index) => [`finding${index + 1}`, finding])),
          }
        : {}),
    },
  };
}

const plainDetails = (job: Job): unknown => ({
  instanceType: 'AsrJobDetails',
  affectedObjectDetails: { PrimaryId: job.target.id, PrimaryName: job.target.name },
});

export function jobView(job: Job, tasks: readonly JobTask[], customDetails: unknown): unknown {
  return resourceView(childId(job.vaultId, 'replicationJobs', job.jobId), {
    activityId: job.jobId,
    scenarioName: job.scenarioName,
    friendlyName: job.friendlyName,
    state: job.state,
    stateDescription: job.stateDescription,
    tasks: tasks.map(taskView),
    errors: job.errors.map((error) => errorView(error, job.jobId)),
    ...(job.startedAt === undefined ? {} : { startTime: job.startedAt }),
    ...(job.endedAt === undefined ? {} : { endTime: job.endedAt }),
    allowedActions: job.allowedActions,
    targetObjectId: job.target.id,
    targetObjectName: job.target.name,
    targetInstanceType: job.target.type,
    customDetails,
  });
}

const knownTaskTypes = ['ManualActionTaskDetails', 'ScriptActionTaskDetails', 'AutomationRunbookTaskDetails'];

function taskView(task: JobTask): unknown {
  const { details, type } = task;
  return {
    taskId: task.name,
    name: task.name,
    ...(task.startedAt === undefined ? {} : { startTime: task.startedAt }),
    ...(task.endedAt === undefined ? {} : { endTime: task.endedAt }),
    allowedActions: [],
    friendlyName: task.title,
    state: task.state,
    stateDescription: task.stateDescription,
    taskType: type ?? 'TaskDetails',
    ...(type !== undefined && knownTaskTypes.includes(type)
      ? { customDetails: { ...details, instanceType: type } }
      : {}),
    ...(task.children.length === 0
      ? {}
      : {
          groupTaskCustomDetails: {
            ...(type === 'RecoveryPlanGroupTaskDetails' || type === 'RecoveryPlanShutdownGroupTaskDetails'
              ? { ...details, instanceType: type }
              : {
                  instanceType: 'InlineWorkflowTaskDetails',
                  workflowIds: task.children.map(({ job }) => job.jobId),
                }),
            childTasks: task.children.map(({ job, tasks }) => childView(job, tasks)),
          },
        }),
    errors: task.error === undefined ? [] : [errorView(task.error, task.name)],
  };
}

/** A job that a step started, as a task of it. */
function childView(job: Job, tasks: readonly JobTask[]): unknown {
  return {
    taskId: job.jobId,
    name: job.scenarioName,
    ...(job.startedAt === undefined ? {} : { startTime: job.startedAt }),
    ...(job.endedAt === undefined ? {} : { endTime: job.endedAt }),
    allowedActions: job.allowedActions,
    friendlyName: `${job.friendlyName}: ${job.target.name}`,
    state: job.state,
    stateDescription: job.stateDescription,
    taskType: 'JobTaskDetails',
    customDetails: {
      instanceType: 'JobTaskDetails',
      jobTask: {
        jobId: childId(job.vaultId, 'replicationJobs', job.jobId),
        jobFriendlyName: job.friendlyName,
        targetObjectId: job.target.id,
        targetObjectName: job.target.name,
        targetInstanceType: job.target.type,
        jobScenarioName: job.scenarioName,
      },
    },
    groupTaskCustomDetails: {
      instanceType: 'InlineWorkflowTaskDetails',
      workflowIds: [job.jobId],
      childTasks: tasks.map(taskView),
    },
    errors: job.errors.map((error) => errorView(error, job.jobId)),
  };
}

function errorView(error: JobError, taskId: string): unknown {
  return {
    serviceErrorDetails: {
      code: error.code,
      message: error.summary,
      possibleCauses: error.possibleCauses,
      recommendedAction: error.recommendedAction,
      activityId: taskId,
    },
    errorLevel: error.severity === 'warning' ? 'Warning' : 'Error',
    creationTime: error.raisedAt,
    taskId: error.step ?? taskId,
  };
}
