import { type ContractDescription, fieldsOn, type JsonSchema } from '@comity/contract'
import { partialSchema, type Refusal, refusalsOf } from '../schema/index.ts'
import { fieldChanges } from './field-changes.ts'

/** A subscription of another team, with what its team has declared of it. */
export interface Consumer {
  readonly team: string
  /** Whom to ask there. */
  readonly contact?: string
  readonly kind: 'copy' | 'handler'
  readonly subscription: string
  readonly audience?: string
  /** The fields that it keeps, or that its handler has said it reads, beside key and tenant; undefined: it has not said. */
  readonly fields?: readonly string[]
  /** The version of the contract that it has; undefined: none that is known here. */
  readonly knows?: ContractDescription
}

export type Verdict = 'broken' | 'possibly' | 'unaffected'

export interface Reason {
  /** The top-level field; empty = the whole. */
  readonly field: string
  readonly path: string
  readonly reason: string
}

export interface ConsumerVerdict {
  readonly team: string
  readonly contact: string | null
  readonly kind: 'copy' | 'handler' | 'asker'
  /** Null: it asks, and hears outcomes by no subscription of its own. */
  readonly subscription: string | null
  /** Once messages of the new version come; of an asker, once its requests are read by the new version. */
  readonly verdict: Verdict
  readonly reasons: readonly Reason[]
  /** What it refuses of messages that are there already, once it has the new version: each needs `lifts`. */
  readonly older: readonly Reason[]
  /** Deprecated fields that it reads, or may read. */
  readonly deprecated: readonly string[]
}

/**
 * What a change of a contract means for one consumer, field by field.
 * - *broken*: it will refuse messages, or misses a field that it has said it reads.
 * - *possibly*: that could not be excluded.
 * @param next undefined: no longer published
 * @param older versions of which messages may still lie in queues and retention
 */
export function consumerVerdict(
  consumer: Consumer,
  published: ContractDescription,
  next: ContractDescription | undefined,
  older: readonly ContractDescription[],
): ConsumerVerdict {
  const { team, contact = null, kind, subscription } = consumer
  const one = { team, contact, kind, subscription }
  const own = consumer.knows ?? published
  const whole = (reason: string): ConsumerVerdict => ({
    ...{ ...one, verdict: 'broken', reasons: [{ field: '', path: '', reason }], older: [], deprecated: [] },
  })
  if (next === undefined) return whole('it is no longer published')
  if (identityOf(next) !== identityOf(published)) return whole(`it was ${identityOf(published)}, and becomes ${identityOf(next)}`)
  const sent = grantedBy(next, consumer.audience)
  if (sent === undefined) return whole(`it is no longer granted to the audience ${consumer.audience}`)

  const read = readBy(consumer, own)
  const missing = read.filter((field) => !sent.includes(field))
  const refused = refusalsOf(partialSchema(next, sent), readingSchema(consumer, own)).filter(({ path }) => !missing.includes(fieldOf(path)))
  const required = new Set(own.schema.required as readonly string[] | undefined)
  const certain = missing.filter((field) => consumer.fields !== undefined || required.has(field))
  const changed = new Set(fieldChanges(published, next).map(({ field }) => field))
  const reasons: Reason[] = [
    ...missing.map((field) => ({
      field,
      path: field,
      reason: `is not sent any more${certain.includes(field) ? '' : ', and its handler has not said which fields it reads'}`,
    })),
    ...refused.map(reasonOf),
  ]
  if (reasons.length === 0 && consumer.knows === undefined)
    for (const field of read)
      if (changed.has(field))
        reasons.push({ field, path: field, reason: 'changes, and which version of the contract this consumer has is not known here' })
  const broken = certain.length > 0 || refused.some((refusal) => refusal.certain)
  return {
    ...one,
    verdict: reasons.length === 0 ? 'unaffected' : broken ? 'broken' : 'possibly',
    reasons,
    older: olderRefused(consumer, next, older),
    deprecated: deprecatedRead(consumer, own, next),
  }
}

/** The fields that a consumer reads, or may read, and that their owner has deprecated. */
export function deprecatedRead(
  consumer: Pick<Consumer, 'fields' | 'audience'>,
  own: ContractDescription,
  said: ContractDescription,
): readonly string[] {
  return readBy(consumer, own).filter((field) => said.deprecated?.fields[field] !== undefined)
}

/** Once the consumer has taken over the new version, messages of older ones still come. */
function olderRefused(consumer: Consumer, next: ContractDescription, older: readonly ContractDescription[]): readonly Reason[] {
  const reading = {
    ...consumer,
    ...(consumer.fields === undefined ? {} : { fields: consumer.fields.filter((field) => next.fields.includes(field)) }),
  }
  const refusals = older.flatMap((version) => {
    const sent = grantedBy(version, consumer.audience)
    return sent === undefined ? [] : refusalsOf(partialSchema(version, sent), readingSchema(reading, next))
  })
  const distinct = new Map(refusals.map((refusal) => [`${refusal.path} ${refusal.reason}`, reasonOf(refusal)]))
  return [...distinct.values()]
}

/** Under one name these stay what they are: versions, lanes and copies go by the key. */
export function identityOf({ contractKind, keyFields, tenantField }: Identity): string {
  return `${contractKind} with key ${keyFields.join(', ')} and ${tenantField === undefined ? 'no tenant' : `tenant ${tenantField}`}`
}

interface Identity extends Pick<ContractDescription, 'keyFields' | 'tenantField'> {
  readonly contractKind: string
}

function grantedBy(contract: ContractDescription, audience: string | undefined): readonly string[] | undefined {
  const isGranted = audience === undefined ? Object.keys(contract.audiences).length === 0 : Object.hasOwn(contract.audiences, audience)
  return isGranted ? fieldsOn(contract, audience) : undefined
}

/** Of the fields that its version of the contract has. */
function readBy({ fields, audience }: Pick<Consumer, 'fields' | 'audience'>, own: ContractDescription): readonly string[] {
  if (fields === undefined) return grantedBy(own, audience) ?? own.fields
  return [...own.keyFields, ...(own.tenantField === undefined ? [] : [own.tenantField]), ...fields]
}

/** What it holds a message against: as `subscribe` of the team does. */
function readingSchema(consumer: Consumer, own: ContractDescription): JsonSchema {
  return consumer.fields === undefined && consumer.audience === undefined ? own.schema : partialSchema(own, readBy(consumer, own))
}

export function reasonOf({ path, reason }: Refusal): Reason {
  return { field: fieldOf(path), path, reason }
}
function fieldOf(path: string): string {
  return path.split(/[.[]/, 1)[0] as string
}
