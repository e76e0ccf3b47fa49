export type { DifferingValues } from '../audit/differing-values.ts'
export { brokerNameOf } from '../catalog/broker-name.ts'
export type { Environment } from '../catalog/environment.ts'
export type { Answer, DeclarationReport, Heartbeat } from '../control/contracts.ts'
export type { CommandAnswer, CommandOptions } from '../control/give-command.ts'
export type { OperatedTeam } from '../control/operated-teams.ts'
export type { Finding } from './checks/check.ts'
export { type Diagnosis, doctor } from './doctor.ts'
export { type GivenServer, givenServer } from './given-server.ts'
export { requireInstalled } from './installation.ts'
export { type Job, type JobKind, jobOf, listJobs } from './jobs/job.ts'
export { estimateLines, type LineEstimate, type LineSelection } from './jobs/selection.ts'
export { type MigrateOptions, type MigrationReport, migrate } from './migrate.ts'
export type { AuditArguments, AuditBegun } from './operations/audit.ts'
export type { BackfillArguments, BackfillStartArguments } from './operations/backfill.ts'
export type { EditArguments } from './operations/edit-message.ts'
export type { EraseArguments, EraseOutcome } from './operations/erase.ts'
export type { LinesArguments } from './operations/lines.ts'
export type { PauseArguments } from './operations/pause.ts'
export type { PurgeArguments } from './operations/purge.ts'
export type { ReplicaArguments } from './operations/rebuild-replica.ts'
export type { OutboxPlace, RebuildOutcome, RebuiltTopic } from './operations/rebuild-transport.ts'
export type { ReplayArguments } from './operations/replay.ts'
export type { DropArguments, NarrowArguments } from './operations/replicas.ts'
export type { SeedArguments } from './operations/seed.ts'
export { listOperations, type OperationRecord, type OperationRequest, operate } from './operations.ts'
export { type BrokerAccess, brokerAccess, type Member, provision, provisionPlan } from './provision.ts'
export { auditValues } from './reads/audit-values.ts'
export { type Audit, type AuditFinding, auditFindings, auditOf, listAudits } from './reads/audits.ts'
export { type DeadLetterGroup, deadLetterGroups } from './reads/dead-letter-groups.ts'
export {
  type ErasureReceipt,
  type ErasureRecord,
  type ErasureRegister,
  erasureRegister,
  type HolderRecord,
} from './reads/erasure-register.ts'
export { type ExportedDeadLetter, exportDeadLetters } from './reads/export-dead-letters.ts'
export { leftOverColumns } from './reads/left-over-columns.ts'
export { type Backfill, listBackfills } from './reads/list-backfills.ts'
export { type DeadLetter, listDeadLetters } from './reads/list-dead-letters.ts'
export { listSubscriptions, SUBSCRIPTION_SORTS, type SubscriptionFilter, type SubscriptionSort } from './reads/list-subscriptions.ts'
export { listTenants, TENANT_SORTS, type TenantReport, type TenantSort } from './reads/list-tenants.ts'
export { type NewestEnded, newestEnded } from './reads/newest-ended.ts'
export type { Page, PageOptions } from './reads/page.ts'
export { type BackfillPlan, planBackfill } from './reads/plan-backfill.ts'
export { type ErasurePlan, planErasure } from './reads/plan-erasure.ts'
export { type ReplicaRebuild, replicaRebuild } from './reads/replica-rebuild.ts'
export {
  listRequests,
  REQUEST_STATES,
  type RequestFilter,
  type RequestRecord,
  type RequestState,
  type ShownRequest,
  showRequest,
} from './reads/requests.ts'
export { type ShownLine, showDeadLetter, type WaitingMessage } from './reads/show-dead-letter.ts'
export { type MessageLife, type SubscriptionLife, trace } from './reads/trace.ts'
export { type MovingSubscription, type TransportMove, transportMove } from './reads/transport-move.ts'
export { releaseHold } from './relay-hold.ts'
export { release } from './release.ts'
export { type TeamRoles, teamRoles, teamRolesSql } from './roles.ts'
export { type OutboxStatus, type ReplicaStatus, type TeamStatus, teamStatus } from './status.ts'
export { type Pause, SUBSCRIPTION_STATES, type SubscriptionState, type SubscriptionStatus } from './subscription-status.ts'
export { type UninstallReport, uninstall } from './uninstall.ts'
export { verify } from './verify.ts'
export { listWithheld, type RetryReport, retryWithheld, type WithheldChange, type WithheldSelection } from './withheld.ts'
