import type { ContractDescription, JsonSchema } from '@comity/contract'
import { type Refusal, refusalsOf } from '../schema/index.ts'
import { type ConsumerVerdict, identityOf, type Reason, reasonOf } from './contract-check.ts'
import { fieldChanges, rejectionField } from './field-changes.ts'

/** A team that asks. */
export interface Asker {
  readonly team: string
  /** Whom to ask there. */
  readonly contact?: string
  /** The version of the request that it has; undefined: none that is known here. */
  readonly knows?: ContractDescription
}

/** A reason against an asker, and whether it is certain. */
interface Objection extends Reason {
  readonly certain: boolean
}

/**
 * What a change of a request means for one team that asks it. What is asked goes the other way than what is published: the asker writes it, by the version
 * that it has, and the owner reads it. What is said with a rejection the owner writes, and the asker reads.
 * @param next undefined: nobody answers it any more
 */
export function askerVerdict(
  { team, contact, knows }: Asker,
  published: ContractDescription,
  next: ContractDescription | undefined,
): ConsumerVerdict {
  const verdict = (objections: readonly Objection[]): ConsumerVerdict => ({
    ...{ team, contact: contact ?? null, kind: 'asker', subscription: null },
    verdict: objections.length === 0 ? 'unaffected' : objections.some(({ certain }) => certain) ? 'broken' : 'possibly',
    reasons: objections.map(({ field, path, reason }) => ({ field, path, reason })),
    ...{ older: [], deprecated: [] },
  })
  const whole = (reason: string): ConsumerVerdict => verdict([{ field: '', path: '', reason, certain: true }])
  if (next === undefined) return whole('nobody answers it any more')
  if (identityOf(next) !== identityOf(published)) return whole(`it was ${identityOf(published)}, and becomes ${identityOf(next)}`)
  const asked = knows ?? published
  if (asked.entity !== next.entity) return whole(`it was about ${asked.entity}, and becomes about ${next.entity}`)
  const objections = [
    ...refusalsOf(asked.schema, next.schema).map(objectionOf),
    ...unread(asked, next),
    ...rejectionsOf(asked.rejects ?? {}, next.rejects ?? {}),
  ]
  if (objections.length > 0 || knows !== undefined) return verdict(objections)
  return verdict(
    fieldChanges(published, next).map(({ field }) => ({
      ...{ field, path: field, certain: false },
      reason: 'changes, and which version of the request this team has is not known here',
    })),
  )
}

/** What is asked in such a field would be passed over without a word. */
function unread(asked: ContractDescription, next: ContractDescription): readonly Objection[] {
  return asked.fields
    .filter((field) => !next.fields.includes(field))
    .map((field) => ({ field, path: field, reason: 'is not read any more: what is asked in it has no effect', certain: false }))
}

type Rejects = Readonly<Record<string, JsonSchema | null>>

function rejectionsOf(known: Rejects, next: Rejects): readonly Objection[] {
  const names = [...new Set([...Object.keys(known), ...Object.keys(next)])]
  return names.flatMap((name): readonly Objection[] => {
    const field = rejectionField(name)
    const one = (reason: string, certain: boolean): readonly Objection[] => [{ field, path: field, reason, certain }]
    const [reads, said] = [known[name], next[name]]
    if (said === undefined) return one('is a reason that is not given any more', true)
    if (reads === undefined) return one('is a reason that this team does not know', false)
    if (reads === null) return []
    if (said === null) return one('is a reason with which nothing is said any more', true)
    return refusalsOf(said, reads).map(({ path, reason, certain }) => ({
      ...{ field, path: path === '' ? field : `${field}.${path}`, reason, certain },
    }))
  })
}

function objectionOf(refusal: Refusal): Objection {
  return { ...reasonOf(refusal), certain: refusal.certain }
}
