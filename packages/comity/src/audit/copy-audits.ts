import { randomBytes } from 'node:crypto'
import type { ContractDescription } from '@comity/contract'
import type { CopyReader } from '../backfill/copy-reader.ts'
import type { CopyingHandler, CopyingSpeaker } from '../control/copying-channel.ts'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import { auditedCopy, auditedFields, shapeOf } from './audited-copy.ts'
import { confirmBackfill } from './confirm-backfill.ts'
import { AuditTakenOver } from './errors.ts'
import { noteGaps } from './gaps.ts'
import { answersKept, questions } from './questions.ts'
import { auditRecords, type OpenAudit } from './records.ts'
import { isDrift, runAudit } from './run-audit.ts'
import { AUDIT_SCHEDULE, type AuditSchedule, scheduleAudits } from './schedule.ts'
import { wantedHeard } from './wanted.ts'

/** A copy that this team keeps. */
export interface AuditableCopy {
  readonly name: string
  readonly entity: ContractDescription
  readonly audience?: string
  readonly reads: CopyReader
  readonly onApplied: (keys: readonly string[]) => void
}

/**
 * The copies' side of audits: takes what is asked for in `comity.audits`, one at a time in each process.
 *
 *   asked ──taken──▶ comparing ──▶ settling (──▶ repairing) ──▶ ended: true, drift or inconclusive
 *     ▲                 │ its process ended: 30 s later another one begins it anew
 *     └─────────────────┘
 */
export function copyAudits(options: {
  readonly team: string
  readonly holder: string
  readonly database: Database
  readonly speaker: CopyingSpeaker
  readonly copies: readonly AuditableCopy[]
  readonly permit: Permit
  /** Which life of the database this is; undefined while this process may not speak for its team. */
  readonly life: () => number | undefined
  /** Milliseconds that an owner may be silent, and a copy may be behind. Default two minutes. */
  readonly patience?: number
  readonly schedule?: AuditSchedule
  readonly clock?: Clock
  readonly logger?: Logger
}): {
  readonly handlers: readonly CopyingHandler<never>[]
  readonly confirmed: (backfill: string) => Promise<boolean>
  readonly loop: Loop
} {
  const { team, holder, database, speaker, permit, life, patience = 120_000, clock = systemClock, logger = silentLogger } = options
  const records = auditRecords(database, holder)
  const { schedule = AUDIT_SCHEDULE } = options
  let scheduledAt = Number.NEGATIVE_INFINITY
  let scheduledIn: number | undefined
  const lifting = options.copies.filter(({ reads }) => reads.versions !== undefined).map(({ name }) => name)
  const copies = new Map(options.copies.map((copy) => [copy.name, copy]))

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    const now = life()
    if (now === undefined) return 'idle'
    if (now !== scheduledIn || clock.monotonic() - scheduledAt >= SCHEDULE_EVERY) {
      scheduledAt = clock.monotonic()
      scheduledIn = now
      await scheduleAudits(database, [...copies.keys()], schedule)
      // A broker that is away says nothing, and holds up nothing.
      await noteGaps(database, speaker.transport, [...copies.keys()], speaker.topicNamed).catch((error: unknown) =>
        logEvent(logger, 'comity.audit.not_looked', { error }),
      )
    }
    const audit = await records.take([...copies.keys()])
    if (audit === undefined) return 'idle'
    const copy = copies.get(audit.replica) as AuditableCopy
    try {
      await run(audit, copy, signal)
    } catch (error) {
      if (signal.aborted) {
        await records.release(audit.id).catch(() => undefined)
        return 'idle'
      }
      logEvent(logger, 'comity.audit.stumbled', { subscription: audit.replica, job: audit.id, error })
      // Another process has it, or begins it anew when this one's time is over.
      if (!(error instanceof AuditTakenOver)) throw error
    }
    return 'busy'
  }

  async function run(audit: OpenAudit, copy: AuditableCopy, signal: AbortSignal): Promise<void> {
    const { entity, audience, reads, onApplied } = copy
    const { reader, versions } = reads
    const { id, replica, extent } = audit
    const shape = await shapeOf(database, replica, id)
    const fields = auditedFields(shape, extent)
    const secret = randomBytes(32).toString('hex')
    let keptAt = clock.monotonic()
    const onWaiting = async (): Promise<void> => {
      if (clock.monotonic() - keptAt < 5000) return
      if (!(await records.keep(id))) throw new AuditTakenOver({ replica })
      keptAt = clock.monotonic()
    }
    const waiting = { patience, onWaiting, signal, clock }
    const asked = {
      audit: id,
      entity: entity.name,
      fields,
      secret,
      ...(audience === undefined ? {} : { audience }),
      ...(shape.subset ? { subset: shape.subset } : {}),
      ...(versions ? { versions } : {}),
    }
    const asking = questions({ database, speaker, owner: entity.owner, replica, audit: asked, ...waiting })
    const { verdict, problem, findings } = await runAudit({
      ...{ audit, records, questions: asking, ...waiting },
      copy: auditedCopy({ database, shape, fields, secret, reader, permit, signal, clock }),
      repaired: { database, shape, reader, permit, onApplied },
    })
    const unsettled = findings.filter((finding) => finding.class === 'moving').length
    await records.end(id, verdict, problem, unsettled, asking.bytes)
    const told = { subscription: replica, job: id, state: verdict }
    const repaired = verdict === 'true' ? findings.filter((finding) => isDrift(finding.class)).length : 0
    if (repaired > 0) logEvent(logger, 'comity.audit.repaired', { ...told, reason: `${repaired} keys had drifted` })
    else if (verdict === 'true') logEvent(logger, 'comity.audit.true', told)
    else logEvent(logger, 'comity.audit.not_true', { ...told, reason: problem ?? `${findings.length} keys are named` })
  }

  const auditing = loop({ name: `audits of ${team}`, poll: { min: 0, max: 1000 }, clock, logger, runOnce })
  return {
    handlers: [answersKept(database) as never, wantedHeard(database, () => auditing.wake()) as never],
    /** Of a copy that was filled. */
    confirmed: (backfill) => confirmBackfill(database, backfill, lifting, () => auditing.wake()),
    loop: auditing,
  }
}

/** Between two looks at what is due, in milliseconds. */
const SCHEDULE_EVERY = 30_000
