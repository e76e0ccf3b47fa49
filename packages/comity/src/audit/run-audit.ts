import { ComityError } from '@comity/contract'
import type { Clock } from '../foundation/index.ts'
import type { AuditedCopy } from './audited-copy.ts'
import { DRIFT, type FindingClass } from './classify.ts'
import { unpackDigest, unpackRow } from './contracts.ts'
import { copiedVersion } from './copied-version.ts'
import { type Buckets, findSuspects } from './find-suspects.ts'
import type { Questions } from './questions.ts'
import type { AuditRecords, OpenAudit, Verdict } from './records.ts'
import { type RepairedCopy, repairKeys } from './repair-keys.ts'
import { type SettledKey, settleSuspects } from './settle-suspects.ts'

/** Keys that one audit names; a copy that has more of them is rather filled anew. */
export const MOST_NAMED = 20_000

export interface AuditWork {
  readonly audit: OpenAudit
  readonly records: AuditRecords
  readonly copy: AuditedCopy
  readonly repaired: RepairedCopy
  readonly questions: Questions
  /** Milliseconds without a sign of the owner, and for everything below a version to end here. */
  readonly patience: number
  /** Throws where this process is no longer to go on. */
  readonly onWaiting: () => Promise<void>
  readonly signal: AbortSignal
  readonly clock: Clock
}

export interface AuditOutcome {
  readonly verdict: Verdict
  readonly problem?: string
  readonly findings: readonly SettledKey[]
}

/**
 * One audit: `find suspects → settle them by cause → name them (→ repair → verify)`. Whatever prevents an answer (an owner that is away, older, or
 * does not grant the fields; a copy that does not get as far) is *inconclusive*, never drift.
 */
export async function runAudit(work: AuditWork): Promise<AuditOutcome> {
  const { audit, records, copy, questions, signal } = work
  try {
    const theirs = {
      async digests(depth: number, within?: Buckets) {
        const parts = await questions.ask<'digests'>({ kind: 'digests', depth, ...(within === undefined ? {} : { within }) })
        return parts.flatMap(({ digests }) => digests.map(unpackDigest))
      },
      async rows(of: Buckets) {
        const parts = await questions.ask<'rows'>({ kind: 'rows', of })
        return parts.flatMap(({ rows }) => rows.map(unpackRow))
      },
    }
    const { keys, ...found } = await findSuspects(copy, theirs, MOST_NAMED)
    await records.step(audit.id, 'settling', { ...found, suspects: keys.length })
    const findings = await settle(work, keys)
    await records.found(audit.id, findings)
    const after = audit.repair ? await repair(work, findings, found.ourRows) : findings
    return { findings, ...verdictOf(after, found.truncated) }
  } catch (error) {
    if (signal.aborted || !(error instanceof ComityError)) throw error
    return { verdict: 'inconclusive', problem: error.message.split('\n', 1)[0] as string, findings: [] }
  }
}

function settle(work: AuditWork, keys: readonly string[]): Promise<readonly SettledKey[]> {
  const { audit, copy, questions, repaired } = work
  const passed = (version: number): Promise<void> => copiedVersion(repaired.database, audit.replica, version, work)
  return settleSuspects(keys, { copy, questions, passed })
}

/** Says what has drifted anew, and looks at the same keys again. Answers what they are then. */
async function repair(work: AuditWork, findings: readonly SettledKey[], ourRows: number): Promise<readonly SettledKey[]> {
  const { audit, records, repaired, questions } = work
  const drifted = findings.filter((finding) => isDrift(finding.class))
  if (drifted.length === 0) return findings
  await records.step(audit.id, 'repairing')
  const id = await records.beginRepair(audit, drifted.length)
  const version = await repairKeys(drifted, repaired, questions)
  const keys = drifted.map(({ key }) => key)
  const after = await settle(work, keys)
  const left = new Map(after.map((one) => [one.key, one.class]))
  await records.endRepair(audit.id, id, keys, left, version)
  const repairedOf = (found: FindingClass): number => drifted.filter((one) => one.class === found && !left.has(one.key)).length
  await records.step(audit.id, 'repairing', { ourRows: ourRows + repairedOf('missing') - repairedOf('extra') })
  return [...after, ...findings.filter((finding) => !isDrift(finding.class))]
}

export function isDrift(found: FindingClass): boolean {
  return DRIFT.some((drift) => drift === found)
}

/** Withheld and waiting keys are named, and no drift: both sides know of them. */
function verdictOf(findings: readonly SettledKey[], truncated: boolean): Pick<AuditOutcome, 'verdict' | 'problem'> {
  if (findings.some((finding) => isDrift(finding.class))) {
    if (!truncated) return { verdict: 'drift' }
    return { verdict: 'drift', problem: `more than ${MOST_NAMED} keys differ; the first of them are named` }
  }
  const moving = findings.filter((finding) => finding.class === 'moving').length
  if (moving > 0) return { verdict: 'inconclusive', problem: `${moving} keys were written whenever they were looked at` }
  return truncated
    ? { verdict: 'inconclusive', problem: `more than ${MOST_NAMED} keys differed, and not all of them were looked at` }
    : { verdict: 'true' }
}
