/** Every workflow that works on protected items and recovery plans, for the engine. */
import type { SomeWorkflow } from '../jobs/workflow.ts';
import { applyRecoveryPoint } from './apply-recovery-point.ts';
import { cancelFailover } from './cancel-failover.ts';
import { commitFailover } from './commit-failover.ts';
import { disableProtection } from './disable-protection.ts';
import { enableProtection } from './enable-protection.ts';
import { initialReplication } from './initial-replication.ts';
import type { WorkflowParts } from './parts.ts';
import { plannedFailover } from './planned-failover.ts';
import { planWorkflows } from './recovery-plans.ts';
import { renewCertificate } from './renew-certificate.ts';
import { repairReplication } from './repair-replication.ts';
import { testFailover } from './test-failover.ts';
import { testFailoverCleanup } from './test-failover-cleanup.ts';
import { unplannedFailover } from './unplanned-failover.ts';
import { updateProtection } from './update-protection.ts';
import { verifyItemWorkflow } from './verify-item.ts';

export function itemWorkflows(parts: WorkflowParts): SomeWorkflow[] {
  return [
    enableProtection(parts),
    initialReplication(parts),
    disableProtection(parts),
    updateProtection(parts),
    repairReplication(parts),
    verifyItemWorkflow(parts),
    testFailover(parts),
    testFailoverCleanup(parts),
    unplannedFailover(parts),
    plannedFailover(parts),
    applyRecoveryPoint(parts),
    commitFailover(parts),
    cancelFailover(parts),
    renewCertificate(parts),
    ...planWorkflows(parts),
  ];
}
