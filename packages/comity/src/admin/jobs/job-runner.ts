import { bucketOf } from '@comity/contract'
import { type Clock, type Logger, type Loop, logEvent, loop, systemClock } from '../../foundation/index.ts'
import type { Database } from '../../postgres/database.ts'
import { arrayLiteral, classifyError } from '../../postgres/index.ts'
import { LinePaused, NothingWaits } from '../../subscription/errors.ts'
import { endWithoutEffect } from '../../subscription/line-acts.ts'
import type { Subscription } from '../../subscription/subscription.ts'
import type { JobKind } from './job.ts'
import { type LineSelection, SELECTED, selectionValues } from './selection.ts'

interface Claimed {
  readonly id: string
  readonly kind: JobKind
  readonly selection: string
  readonly author: string
  readonly reason: string
  readonly stages: string
  readonly stage: number
  readonly rate: number | null
  readonly stop_above: number
  readonly stage_done: number
  readonly stage_failed: number
  readonly started_at: string
  readonly cancel_asked: boolean
}

/* Mine or nobody's, the one that has been left alone for longest. */
const CLAIM = `
  update comity.jobs j set holder = $1::text, held_until = clock_timestamp() + interval '10 seconds', state = 'running',
    started_at = coalesce(started_at, clock_timestamp())
  where id = (select id from comity.jobs where state in ('waiting', 'running') and (holder = $1::text or held_until is null or held_until < clock_timestamp())
    order by held_until nulls first limit 1 for update skip locked)
  returning id, kind, selection, author, reason, stages, stage, rate, stop_above, stage_done::float8 as stage_done, stage_failed::float8 as stage_failed,
    started_at::text as started_at, cancel_asked`
/* Lines that this job has not tried: a line that fails again has been tried since the job began. */
const NEXT = `
  select k.subscription, k.key, s.lanes from comity.waiting_keys k join comity.subscriptions s on s.name = k.subscription
  where ${SELECTED} and k.subscription = any ($8::text::text[]) and k.tried_at < $9::text::timestamptz order by k.tried_at limit $10::int`
const SAVE = `
  update comity.jobs set stage_done = stage_done + $2::int, stage_failed = stage_failed + $3::int, done = done + $2::int, failed = failed + $3::int,
    ended_messages = ended_messages + $4::int, held_until = clock_timestamp() + interval '10 seconds' where id = $1::text and holder = $5::text`
const NEXT_STAGE = 'update comity.jobs set stage = stage + 1, stage_done = 0, stage_failed = 0 where id = $1::text'
const FINISH = `
  update comity.jobs set state = $2::text, outcome = $3::text, ended_at = clock_timestamp(), holder = null, held_until = null where id = $1::text`
const PASS_OVER = `update comity.waiting_keys set tried_at = clock_timestamp() where subscription = $1::text and key = $2::text`

/** Lines between two looks at the job's row: whether it was cancelled, whether too many failed. */
const CHUNK = 50
/** Lines at once; never two of one lane. */
const AT_ONCE = 3

/** Works on the team's jobs, a chunk of each in turn. Every line is crash-safe by itself, and a line that was tried is not tried twice by one job. */
export function jobRunner<Tx>(options: {
  readonly holder: string
  readonly database: Database<Tx>
  readonly subscriptions: ReadonlyMap<string, Subscription>
  readonly clock?: Clock
  readonly logger: Logger
}): Loop {
  const { holder, database, subscriptions, clock = systemClock, logger } = options

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    const job = (await database.query<Claimed>(CLAIM, [holder])).rows[0]
    if (job === undefined) return 'idle'
    if (job.cancel_asked) await finish(job, 'cancelled', 'somebody cancelled it')
    else await work(job, signal)
    return 'busy'
  }

  async function work(job: Claimed, signal: AbortSignal): Promise<void> {
    const size = (JSON.parse(job.stages) as number[])[job.stage]
    const left = (size ?? Number.POSITIVE_INFINITY) - job.stage_done
    const tooMany = job.stage_failed > job.stop_above * job.stage_done
    // In the last stage, which has no size, a bad stretch is seen while it lasts.
    if (tooMany && (left <= 0 || (size === undefined && job.stage_done >= 10))) return finish(job, 'stopped', failedAgain(job))
    if (left <= 0) return void (await database.query(NEXT_STAGE, [job.id]))
    const began = clock.monotonic()
    const most = Math.min(CHUNK, left, Math.max(1, Math.floor(job.rate ?? CHUNK)))
    const lines = await next(job, most)
    if (lines.length === 0) {
      if (tooMany) return finish(job, 'stopped', failedAgain(job))
      return finish(job, 'done', 'no line is left')
    }
    await runAll(job, lines, signal)
    if (job.rate !== null) await clock.sleep((lines.length / job.rate) * 1000 - (clock.monotonic() - began), signal)
  }

  interface Line {
    readonly subscription: string
    readonly key: string
    readonly lanes: number
  }
  async function next(job: Claimed, most: number): Promise<readonly Line[]> {
    const selection = selectionValues(JSON.parse(job.selection) as LineSelection)
    const { rows } = await database.query<Line>(NEXT, [...selection, arrayLiteral([...subscriptions.keys()]), job.started_at, most])
    return rows
  }

  async function runAll(job: Claimed, lines: readonly Line[], signal: AbortSignal): Promise<void> {
    const queue = [...lines]
    const busy = new Set<string>()
    let savedAt = clock.monotonic()
    let unsaved = { done: 0, failed: 0, messages: 0 }
    const save = async (): Promise<void> => {
      const { done, failed, messages } = unsaved
      unsaved = { done: 0, failed: 0, messages: 0 }
      savedAt = clock.monotonic()
      await database.query(SAVE, [job.id, done, failed, messages, holder])
    }
    const worker = async (): Promise<void> => {
      while (queue.length > 0 && !signal.aborted) {
        const at = queue.findIndex((line) => !busy.has(laneOf(line)))
        if (at < 0) return // the others have what is left
        const [line] = queue.splice(at, 1) as [Line]
        busy.add(laneOf(line))
        const { failed, messages } = await runLine(job, line, signal).finally(() => busy.delete(laneOf(line)))
        if (signal.aborted) return
        unsaved.done++
        if (failed) unsaved.failed++
        unsaved.messages += messages
        if (clock.monotonic() - savedAt > SAVE_EVERY) await save()
      }
    }
    // Who waits long for one line keeps the job all the same.
    const waiting = new AbortController()
    const keep = (async () => {
      while (!waiting.signal.aborted) {
        await clock.sleep(SAVE_EVERY, waiting.signal)
        if (!waiting.signal.aborted) await save().catch(() => undefined)
      }
    })()
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
    } finally {
      waiting.abort()
      await keep
      await save()
    }
  }

  async function runLine(
    job: Claimed,
    { subscription, key, lanes }: Line,
    signal: AbortSignal,
  ): Promise<{ failed: boolean; messages: number }> {
    const running = subscriptions.get(subscription) as Subscription
    const lane = { subscription, lane: bucketOf(key, lanes), database, permit: <Result>(act: () => Promise<Result>) => act() }
    let messages = 0
    for (;;) {
      try {
        if (job.kind !== 'retry') {
          const why = { author: job.author, reason: job.reason, job: job.id }
          messages += await endWithoutEffect(lane, key, job.kind === 'skip' ? 'head' : 'line', why)
          if (job.kind === 'discard') return { failed: false, messages }
        }
        const { ran, error } = await running.retry(key, signal)
        messages += ran
        if (error === undefined || signal.aborted) return { failed: error !== undefined, messages }
        if (classifyError(error) !== 'connection') return { failed: true, messages }
      } catch (error) {
        if (error instanceof NothingWaits) return { failed: false, messages }
        if (error instanceof LinePaused) {
          await database.query(PASS_OVER, [subscription, key])
          return { failed: true, messages }
        }
        if (signal.aborted) return { failed: true, messages }
        if (classifyError(error) !== 'connection') throw error
      }
      // The database is away: nobody's failure.
      await clock.sleep(1000, signal)
    }
  }

  async function finish(job: Claimed, state: 'done' | 'stopped' | 'cancelled', outcome: string): Promise<void> {
    await database.query(FINISH, [job.id, state, outcome])
    logEvent(logger, 'comity.job.ended', { job: job.id, kind: job.kind, state, reason: outcome })
  }

  return loop({ name: 'jobs', poll: { min: 0, max: 1000 }, runOnce, clock, logger })
}

function laneOf({ subscription, key, lanes }: { readonly subscription: string; readonly key: string; readonly lanes: number }): string {
  return `${subscription} ${bucketOf(key, lanes)}`
}

function failedAgain({ stage_done, stage_failed, stage, stop_above }: Claimed): string {
  return `${stage_failed} of ${stage_done} lines of stage ${stage + 1} failed again, and it stops above ${Math.round(stop_above * 100)} %`
}

/** In milliseconds; well below the ten seconds after which others take a job for left alone. Two that work on one do no harm. */
const SAVE_EVERY = 2500
