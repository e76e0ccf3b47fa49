import { randomUUID } from 'node:crypto'
import { type CopyingHandler, type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { copyingTopic } from '../control/copying-topics.ts'
import type { Clock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import {
  AUDIT_ASKED,
  AUDIT_TOLD,
  AUDIT_VERSION,
  type AuditAnswer,
  type AuditAsked,
  type AuditQuestion,
  type AuditTold,
} from './contracts.ts'
import { AuditRefused, AuditUnanswered } from './errors.ts'

/* Whichever process of the team receives an answer keeps it for the one that asked; also of an audit that has ended, whose values somebody looks at. */
const KEEP = `
  insert into comity.audit_answers (question, answer, part, parts, told)
  select $1::text::uuid, $2::text::uuid, $3::int, $4::int, $5::text
  where exists (select from comity.audits a where a.replica = $6::text) on conflict do nothing`
const WHOLE = `
  select a.answer::text as answer, array_to_json(array_agg(a.told order by a.part))::text as told
  from comity.audit_answers a where a.question = $1::text::uuid group by a.answer, a.parts having count(*) = a.parts order by min(a.at)`
const FORGET = `delete from comity.audit_answers where question = $1::text::uuid or at < clock_timestamp() - interval '1 hour'`

/** Keeps what owners answer. */
export function answersKept(database: Queryable): CopyingHandler<AuditTold> {
  return {
    contract: AUDIT_TOLD,
    async handle(messages) {
      for (const { replica, data } of messages)
        await database.query(KEEP, [data.id, data.answer, data.part, data.parts, JSON.stringify(data.told), replica])
      return messages.map(() => 'ack')
    },
  }
}

type AnswerTo<Kind> = Extract<AuditAnswer, { readonly kind: Kind }>

export interface Questions {
  /** All parts of one answer. Throws COMITY_AUDIT_UNANSWERED or COMITY_AUDIT_REFUSED. */
  ask<Kind extends AuditQuestion['kind']>(what: Extract<AuditQuestion, { readonly kind: Kind }>): Promise<readonly AnswerTo<Kind>[]>
  /** Bytes of what was asked and answered. */
  readonly bytes: number
}

/** Asks the owner of one copy, again and again until it answers or the patience ends. */
export function questions(options: {
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly owner: string
  readonly replica: string
  readonly audit: Pick<AuditAsked, 'audit' | 'entity' | 'audience' | 'fields' | 'subset' | 'secret'>
  /** Milliseconds without a sign of the owner. */
  readonly patience: number
  /** Called while it waits: throws where this process is no longer to do so. */
  readonly onWaiting: () => Promise<void>
  readonly signal: AbortSignal
  readonly clock: Clock
}): Questions {
  const { database, speaker, owner, replica, audit, patience, onWaiting, signal, clock } = options
  let bytes = 0

  async function ask<Kind extends AuditQuestion['kind']>(
    what: Extract<AuditQuestion, { readonly kind: Kind }>,
  ): Promise<readonly AnswerTo<Kind>[]> {
    const data: AuditAsked = { v: AUDIT_VERSION, id: randomUUID(), ...audit, what }
    const seen = new Set<string>()
    let signAt = clock.monotonic()
    let askedAt = Number.NEGATIVE_INFINITY
    for (let asks = 0, wait = 10; ; wait = Math.min(LOOK_EVERY, wait * 1.5)) {
      signal.throwIfAborted()
      if (clock.monotonic() - askedAt >= Math.min(patience / 3, ASK_AGAIN * 2 ** Math.max(0, asks - 1))) {
        bytes += JSON.stringify(data).length
        await sayAboutCopy(speaker, copyingTopic(owner), [{ contract: AUDIT_ASKED, replica, data }])
        askedAt = clock.monotonic()
        asks++
      }
      const { rows } = await database.query<{ answer: string; told: string }>(WHOLE, [data.id])
      for (const { answer, told } of rows) {
        if (seen.has(answer)) continue
        seen.add(answer)
        signAt = clock.monotonic()
        const parts = (JSON.parse(told) as string[]).map((part) => JSON.parse(part) as AuditAnswer)
        const [first] = parts
        if (first?.kind === 'waiting') {
          askedAt = clock.monotonic()
          continue
        }
        await database.query(FORGET, [data.id])
        bytes += told.length
        if (first?.kind === 'refused') throw new AuditRefused({ owner, replica, reason: first.reason })
        return parts as unknown as readonly AnswerTo<Kind>[]
      }
      if (clock.monotonic() - signAt > patience) {
        await database.query(FORGET, [data.id])
        throw new AuditUnanswered({ owner, replica, limit: `${Math.round(patience / 1000)} s` })
      }
      await onWaiting()
      await clock.sleep(wait, signal)
    }
  }

  return {
    ask,
    get bytes() {
      return bytes
    },
  }
}

/** Between two looks for an answer, in milliseconds. */
const LOOK_EVERY = 200
/** Until a question is asked for the second time, in milliseconds; then twice as long each time. */
const ASK_AGAIN = 5000
