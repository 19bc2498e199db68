/**
 * What a workflow is. One file in `workflows/` per operation, always in the same five parts: essay with its drawing,
 * input, table of steps, definition, implementations. A workflow is an ARM job, a step is a task of it.
 *
 *     API handler ── start ──▶ row ──▶ engine ── lease ──▶ step, step, step ──▶ Succeeded
 *                                                  │ failure: undo in reverse ──▶ Failed
 *                                                  │ or, where undoing is not for a machine to decide ──▶ Suspended
 *
 * The log knows which steps began and what the finished ones gave; a vault that dies is followed by another that replays
 * the log: finished steps are not run again, the one that had begun is. So `do` and `undo` must bear being run twice, and
 * `undo` must bear a `do` that never got anywhere. Ids are made by the first step, so that a repetition uses them again.
 */
import type { z } from 'zod';
import type { HealthEvent } from '../../model/health.ts';

/** What may be kept in a step's log: plain JSON. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/** Names of the reference's `Job.state`. */
export type JobState = 'NotStarted' | 'InProgress' | 'Succeeded' | 'Failed' | 'Cancelled' | 'Suspended';

/** What the job is about. */
export interface JobTarget {
  /** Resource id, in the vault's one case. */
  readonly id: string;
  readonly name: string;
  /** `Job.targetInstanceType`: `ProtectionEntity`, `RecoveryPlan`, `ProtectionProfile`, `Fabric`, … */
  readonly type: string;
}

/**
 * Instead of an output: the step has set something going and must be called again when it has come about. The lease is
 * given up meanwhile, so that a wait of days costs nothing.
 */
export type Wait =
  /** All of these jobs have ended; with `any`, one of them. */
  | { readonly wait: 'jobs'; readonly jobIds: readonly string[]; readonly any?: boolean }
  /** The site has answered this order. */
  | { readonly wait: 'order'; readonly orderId: string; readonly until: string }
  /** Somebody resumes the job; shown as `Suspended` with the text as its manual action. */
  | { readonly wait: 'resume'; readonly instructions: string }
  /** Look again at this moment (ISO 8601). */
  | { readonly wait: 'time'; readonly until: string };

export interface StepContext<Input> {
  readonly jobId: string;
  readonly job: {
    readonly vaultId: string;
    readonly target: JobTarget;
    readonly requestedBy: string;
    readonly createdAt: string;
  };
  readonly input: Input;
  /** Of earlier steps, by name. */
  readonly outputs: Readonly<Record<string, Json>>;
  /** Aborts when the lease is lost, the vault stops or the job is cancelled. */
  readonly signal: AbortSignal;
  /** When this step was begun first, ISO 8601: the same however often it is run. */
  readonly startedAt: string;
  /** While undoing: what had failed last. */
  readonly failure: string | undefined;
  /** Of the person who resumed the job. */
  readonly resumeComments: string | undefined;
  /** For whoever watches; the last one is kept. `fraction` from 0 to 1. */
  report(text: string, fraction?: number): void;
  /** Starts another job once, however often the step is run; `key` is unique within this step. */
  startChild(
    key: string,
    workflow: string,
    input: Json,
    target: JobTarget,
    options?: {
      /** Default: the target's id. */
      readonly exclusiveKey?: string;
      /** A job of its own: it is not shown under this one, and goes on when this one is cancelled. */
      readonly detached?: boolean;
    },
  ): Promise<string>;
  /** The child that was started under this key, if it was. */
  findChild(key: string): Promise<string | undefined>;
  /** State and error of a child, for a step that waited for it. */
  child(jobId: string): Promise<{ readonly state: JobState; readonly error: string | undefined }>;
}

export interface Step<Input> {
  /** `ASRTask.name`; unique within the workflow. */
  readonly name: string;
  /** `ASRTask.friendlyName`: what a person reads while it runs. */
  readonly title: string;
  /** Where it acts. */
  readonly where: 'database' | 'replica' | 'storage' | 'hypervisor' | 'site';
  readonly do: (context: StepContext<Input>) => Promise<Json | Wait | undefined>;
  readonly undo?: (context: StepContext<Input>) => Promise<void>;
  /** `ASRTask.taskType` and its custom details, where they say more than the title. */
  readonly task?: { readonly type: string; readonly details?: { readonly [key: string]: Json } };
  /**
   * Once this step is done there is no way back: a later one that fails is never undone but waits for a person, and the
   * job cannot be cancelled any more.
   */
  readonly isPivot?: true;
  /** Default `unwind`. `suspend`: a person looks, then resumes (the step runs again) or cancels (unwinds). */
  readonly onFailure?: 'unwind' | 'suspend';
}

export interface Workflow<Input = unknown> {
  /** Names it in the rows, e.g. `test-failover`. Rows outlive versions: never renamed. */
  readonly name: string;
  /** `Job.scenarioName` of the reference, e.g. `TestFailover`. */
  readonly scenarioName: string;
  readonly friendlyName: string;
  readonly input: z.ZodType<Input>;
  /**
   * A pure function of the input and of what earlier steps gave, so that a replay sees the same steps: an output may add
   * steps behind its own, and never changes those before.
   */
  readonly steps: (input: Input, outputs: Readonly<Record<string, Json>>) => readonly Step<Input>[];
  /**
   * What is to be said of a job whose steps are all done; default `Completed`. With `failed` the job ends as Failed all
   * the same, and nothing is undone: for many things of which some went well.
   */
  readonly conclude?: (
    outputs: Readonly<Record<string, Json>>,
    input: Input,
  ) => {
    readonly stateDescription: string;
    readonly failed?: HealthEvent | undefined;
    /** What a person must know of a job that succeeded: kept among its errors, as warnings. */
    readonly information?: readonly Omit<HealthEvent, 'raisedAt'>[];
  };
  /** Whether `Cancel` is among the allowed actions while it runs. */
  readonly cancelable: boolean;
}

/** Whatever its input is: what the engine is given a list of. */
export type SomeWorkflow = Omit<Workflow<never>, 'input'> & { readonly input: z.ZodType<unknown> };

export interface StartJob {
  readonly workflow: string;
  readonly input: Json;
  readonly target: JobTarget;
  /** Resource id of the vault whose job it is. */
  readonly vaultId: string;
  /** Object id of the principal. */
  readonly requestedBy: string;
  readonly clientRequestId?: string;
  /** At most one unfinished job holds a key (default: the target's id); a second start throws `TargetIsBusy`. */
  readonly exclusiveKey?: string;
}
