import type { DataOf, Request } from '@comity/contract'
import type { HandledOutcome } from '../catalog/declaration.ts'
import { backoff, boundLogger, type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database } from '../postgres/database.ts'
import { HandlerTimeout } from '../subscription/errors.ts'
import { recordOf } from '../subscription/failure.ts'
import type { HandlerContext } from '../subscription/handler.ts'
import type { Permit } from '../subscription/permits.ts'
import { withinTime } from '../subscription/within-time.ts'
import type { Ended, Rejected } from './asked.ts'

/** An outcome as its asker's handler gets it: what was asked, and what its owner has decided. */
export type OutcomeMessage<R extends Request = Request> = {
  /** The request's. */
  readonly id: string
  /** The contract's name. */
  readonly request: string
  /** Of the entity. */
  readonly key: string
  readonly tenant: string | undefined
  /** What was asked; undefined where this team does not have it any more: it was erased, or this database is an older copy of itself. */
  readonly data: DataOf<R> | undefined
} & ({ readonly state: 'accepted'; readonly decidedAt: Date; readonly version: number | undefined } | Rejected<R> | Ended)

export type OutcomeHandler<R extends Request, Context> = (outcome: OutcomeMessage<R>, context: Context) => Promise<void> | void

/* A tenant's pause is of this handler (`outcomeHandlerName`) or of all that the team does. */
const RUNS = `
  not exists (select from comity.pauses p where p.subscription in ('', $2::text || '.' || replace(a.topic, '.', '-')) and p.tenant in ('', a.tenant))`
/* What was heard before anybody handled outcomes of this request stays as it is. */
const UNHANDLED = `
  select a.id, a.topic from comity.asked a join comity.asks c using (topic)
  where a.topic = any ($1::text::text[]) and a.outcome is not null and a.handled_at is null and a.heard_at >= c.handled_since
    and (a.retry_at is null or a.retry_at <= clock_timestamp()) and ${RUNS}
  order by a.heard_at limit 50`
const TAKE = `
  select a.key, a.tenant, a.data, a.outcome, a.reason, a.detail, a.owner_version::text as version, a.attempts,
    to_char(a.decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as decided
  from comity.asked a where a.id = $1::text and a.outcome is not null and a.handled_at is null and ${RUNS} for update skip locked`
const HANDLED = `
  update comity.asked set handled_at = clock_timestamp(), retry_at = null, problem = null where id = $1::text`
const FAILED = `
  update comity.asked set attempts = attempts + 1, retry_at = clock_timestamp() + make_interval(secs => $2::text::float8 / 1000), problem = $3::text
  where id = $1::text and handled_at is null`

/** A turn that took so long begins no other outcome, in milliseconds. */
const LONG_TURN = 1000

/** What is handled of a row of comity.asked. */
interface Taken {
  readonly key: string
  readonly tenant: string | null
  readonly data: string | null
  readonly outcome: 'accepted' | 'rejected' | 'expired' | 'withdrawn'
  readonly reason: string | null
  readonly detail: string | null
  readonly version: string | null
  readonly attempts: number
  readonly decided: string
}

/**
 * Runs an asker's handlers of outcomes: `row locked → handler → row marked`, in one transaction, so that the effect of each outcome happens once,
 * in whichever process. One that fails is tried again, ever later, up to ten minutes; it holds up no other, for outcomes are independent of each
 * other. What is paused waits where it is, in the order in which it was heard. Where an owner decides anew what it had forgotten (its database went back), its later outcome is handled too.
 */
export function handlingOutcomes<Tx>(options: {
  readonly team: string
  readonly handled: readonly HandledOutcome[]
  readonly database: Database<Tx>
  readonly mayRun: () => boolean
  readonly permit: Permit
  readonly contextFor: (base: HandlerContext<Tx>) => unknown
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, handled, database, mayRun, permit, contextFor, clock = systemClock, logger = silentLogger } = options
  const topics = arrayLiteral(handled.map(({ request }) => request.name))

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    if (!mayRun()) return 'idle'
    const { rows } = await database.query<{ id: string; topic: string }>(UNHANDLED, [topics, team])
    const began = clock.monotonic()
    for (const { id, topic } of rows) {
      if (signal.aborted || !mayRun()) return 'idle'
      // Probes look at how long a turn takes.
      if (clock.monotonic() - began > LONG_TURN) break
      const one = handled.find(({ request }) => request.name === topic) as HandledOutcome
      await handleOne(one, id, signal)
    }
    return rows.length > 0 ? 'busy' : 'idle'
  }

  async function handleOne(one: HandledOutcome, id: string, signal: AbortSignal): Promise<void> {
    let attempts = 0
    try {
      await permit(() =>
        database.transaction(async (tx) => {
          const sql = database.join(tx)
          const [taken] = (await sql.query<Taken>(TAKE, [id, team])).rows
          // Another process has it, or it was paused meanwhile.
          if (taken === undefined) return
          attempts = taken.attempts
          const late = (): Error => new HandlerTimeout({ subscription: `${one.request.name} ${id}`, limit: `${one.timeout} ms` })
          await withinTime(one.timeout, signal, late, (abort) => {
            const base: HandlerContext<Tx> = {
              ...{ tx, key: taken.key, tenant: taken.tenant ?? undefined, attempt: attempts + 1, signal: abort },
              logger: boundLogger(logger, { type: one.request.name, message: id, attempt: attempts + 1 }),
              progress: () => undefined,
            }
            return one.handle(messageOf(one.request, id, taken) as never, contextFor(base) as never)
          })
          await sql.query(HANDLED, [id])
        }),
      )
    } catch (error) {
      if (signal.aborted) return
      const { code, message } = recordOf(error)
      logEvent(logger, 'comity.request.outcome_not_handled', { type: one.request.name, message: id, attempt: attempts + 1, error })
      const wait = backoff(attempts, { min: 1000, max: 600_000 })
      await database.query(FAILED, [id, String(wait), `${code}: ${message}`.slice(0, 500)])
    }
  }

  return loop({ name: `handled outcomes of ${team}`, poll: { min: 5, max: 250 }, clock, logger, runOnce })
}

function messageOf(request: Request, id: string, taken: Taken): OutcomeMessage {
  const { key, tenant, data, outcome, reason, detail, version, decided } = taken
  const base = {
    ...{ id, request: request.name, key, tenant: tenant ?? undefined },
    ...{ data: data === null ? undefined : JSON.parse(data), state: outcome, decidedAt: new Date(decided) },
  }
  if (outcome === 'accepted') return { ...base, version: version === null ? undefined : Number(version) } as OutcomeMessage
  if (outcome === 'rejected') return { ...base, reason, detail: detail === null ? null : JSON.parse(detail) } as OutcomeMessage
  return base as OutcomeMessage
}
