import type { DataOf, RejectsOf, Request } from '@comity/contract'
import type { Database } from '../postgres/database.ts'
import { compile, type Validator } from '../schema/index.ts'
import { UnreadableMessage } from '../subscription/errors.ts'
import type { HandlerContext, RequestEnvelope } from '../subscription/handler.ts'
import { EXTENSIONS, type OutcomeState } from './contracts.ts'
import { DetailUnfit, ReasonUndeclared } from './errors.ts'
import { type ExpectedField, expectable, fieldsFrom } from './expectation.ts'

/** What a handler of requests gets. */
export interface RequestMessage<Data = unknown> {
  /** The request's, unique for each asker; the same however often it comes. */
  readonly id: string
  /** The contract's name. */
  readonly type: string
  /** The key of the entity that it is about. */
  readonly key: string
  readonly tenant: string | undefined
  readonly data: Data
  /** The team that asks. */
  readonly asker: string
  /** When it was asked; RFC 3339, UTC. */
  readonly time: string
  readonly deadline: Date | undefined
  readonly traceparent: string | undefined
}

/** What a handler answers: nothing, or what `accept()` makes, accepts; what `reject(…)` makes, rejects, and what it has written is undone. */
export class HandlerAnswer {
  readonly reason: string | undefined
  readonly detail: unknown
  constructor(reason?: string, detail: unknown = null) {
    this.reason = reason
    this.detail = detail
  }
}

/** What a handler of requests can do beside what every handler can. */
export interface Answering<R extends Request> {
  /** The same as returning nothing. */
  accept(): HandlerAnswer
  /** To be returned. Throws COMITY_REASON_UNDECLARED and COMITY_DETAIL_UNFIT. */
  reject<Reason extends keyof RejectsOf<R> & string>(
    reason: Reason,
    ...detail: RejectsOf<R>[Reason] extends null ? [] : [detail: RejectsOf<R>[Reason]]
  ): HandlerAnswer
}
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that returns nothing accepts, and its own type says void
type Answered = HandlerAnswer | void
export type AnswerHandler<R extends Request, Context> = (
  request: RequestMessage<DataOf<R>>,
  context: Context & Answering<R>,
) => Promise<Answered> | Answered

const LOOK = `
  select (select r.outcome from comity.requests r where r.asker = $1::text and r.id = $2::text) as outcome,
    coalesce($3::text::timestamptz <= clock_timestamp(), false) as expired`
/* Told again. */
const AGAIN = `
  update comity.requests set told_at = null, tellings = tellings + 1 where asker = $1::text and id = $2::text and told_at is not null`
const COMPARE = `
  select matches, state from comity.compare_expected($1::text, $2::text, $3::text::jsonb, $4::text, $5::text)`
/* Who comes second, by a line that was looked through meanwhile, decides nothing. */
const DECIDE = `
  insert into comity.requests (asker, id, topic, entity, key, tenant, asked_at, deadline, outcome, reason, detail, owner_version)
  values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text::timestamptz, $8::text::timestamptz, $9::text, $10::text, $11::text,
    case when $9::text = 'accepted' then comity.token($4::text, $5::text) end)
  on conflict do nothing returning 1 as decided`

/** What is asked, taken out of its message. */
interface Asked {
  readonly withdraws: boolean
  readonly deadline: string | null
  readonly expect: { readonly digest: string; readonly fields: readonly ExpectedField[] } | undefined
}

/**
 * The handler of the subscription by which a request's owner decides: `recorded? → expired? → as expected? → handler → one row`, all of it in the
 * transaction of the message. The row in comity.requests is the decision: unique for each asker and id, whatever comes twice, is repeated or races.
 * What a rejecting handler has written is undone, back to a savepoint; what it rejects with stays.
 */
export function deciding<Tx, R extends Request>(options: {
  readonly request: R
  readonly handle: AnswerHandler<R, HandlerContext<Tx>>
  readonly database: Database<Tx>
  /** A decision is about to commit. */
  readonly onDecided: () => void
}): (message: RequestEnvelope<DataOf<R>>, context: HandlerContext<Tx>) => Promise<void> {
  const { request, handle, database, onDecided } = options
  const validators = new Map<string, Validator>()
  const answering: Answering<R> = {
    accept: () => new HandlerAnswer(),
    reject: (reason, ...[detail]) => rejection(request, validators, reason, detail),
  }

  return async (message, context) => {
    const asked = readAsked(request, message)
    const { asker, key } = message
    const id = message.extensions[EXTENSIONS.id] as string
    const sql = database.join(context.tx)
    const decide = async (outcome: OutcomeState, reason: string | null = null, detail: string | null = null): Promise<boolean> => {
      const values = [
        asker,
        id,
        request.name,
        request.entity,
        key,
        message.tenant ?? null,
        message.time,
        asked.deadline,
        outcome,
        reason,
        detail,
      ]
      const { rows } = await sql.query(DECIDE, values)
      onDecided()
      return rows.length > 0
    }

    const [look] = (await sql.query<{ outcome: string | null; expired: boolean }>(LOOK, [asker, id, asked.deadline])).rows
    if (look?.outcome != null) {
      await sql.query(AGAIN, [asker, id])
      return onDecided()
    }
    if (asked.withdraws) return void (await decide('withdrawn'))
    if (look?.expired) return void (await decide('expired'))
    if (asked.expect !== undefined) {
      const { digest, fields } = asked.expect
      const compared = await sql.query<{ matches: boolean; state: string | null }>(COMPARE, [
        ...[request.entity, key, JSON.stringify(fields), id, digest],
      ])
      const { matches, state } = compared.rows[0] as { matches: boolean; state: string | null }
      if (!matches) return void (await decide('rejected', 'conflict', state))
    }

    await sql.query(SAVE)
    const answer = (await handle(
      {
        ...{ id, asker, key, type: message.type, tenant: message.tenant, data: message.data, time: message.time },
        deadline: asked.deadline === null ? undefined : new Date(asked.deadline),
        traceparent: message.traceparent,
      },
      Object.assign(context, answering),
    )) as HandlerAnswer | undefined
    const rejected = answer instanceof HandlerAnswer && answer.reason !== undefined
    if (rejected) await sql.query(UNDO)
    const decided = rejected
      ? await decide('rejected', answer.reason, answer.detail === null ? null : JSON.stringify(answer.detail))
      : await decide('accepted')
    // A line was looked through, or its asker's copy of this message decided, while the handler ran.
    if (!decided && !rejected) await sql.query(UNDO)
  }
}

const SAVE = 'savepoint comity_request'
const UNDO = 'rollback to savepoint comity_request'

function rejection(request: Request, validators: Map<string, Validator>, reason: string, detail: unknown): HandlerAnswer {
  const reasons = Object.keys(request.rejects)
  if (!reasons.includes(reason)) throw new ReasonUndeclared({ request: request.name, reason, reasons: reasons.join(', ') || 'it has none' })
  const schema = request.rejects[reason]
  if (schema === null || schema === undefined) return new HandlerAnswer(reason)
  const validator = validators.get(reason) ?? compile(schema)
  validators.set(reason, validator)
  const problem = validator.validate(detail)
  if (problem !== undefined) throw new DetailUnfit({ request: request.name, reason, problem: problem.message }, { path: problem.path })
  return new HandlerAnswer(reason, detail)
}

/** Throws what parks the message: it is none that a team's `ask` has made. */
function readAsked(request: Request, { extensions }: RequestEnvelope): Asked {
  const { [EXTENSIONS.id]: id, [EXTENSIONS.deadline]: deadline, [EXTENSIONS.expect]: digest, [EXTENSIONS.fields]: fields } = extensions
  if (id === undefined || !/^[A-Za-z0-9._:-]{1,64}$/.test(id)) throw new UnreadableMessage({ problem: 'it has no id of a request' })
  if (deadline !== undefined && Number.isNaN(Date.parse(deadline))) throw new UnreadableMessage({ problem: 'its deadline is no time' })
  const withdraws = extensions[EXTENSIONS.ask] === 'withdraw'
  if (digest === undefined || withdraws) return { withdraws, deadline: deadline ?? null, expect: undefined }
  const expected = fieldsFrom(fields ?? '')
  const known = expectable(request.about)
  const unfit = expected?.find(({ name }) => !known.includes(name))?.name
  if (expected === undefined || unfit !== undefined)
    throw new UnreadableMessage({
      problem: unfit === undefined ? 'what it expects is no list of fields' : `it expects something of ${unfit}`,
    })
  return { withdraws, deadline: deadline ?? null, expect: { digest, fields: expected } }
}
