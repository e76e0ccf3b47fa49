import { backoff, type Clock, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { Horizon, type HorizonReading, readHorizon } from './horizon.ts'

/**
 * **Draw, wait, read**: how a state is read so that it can be compared with everything that is published beside it.
 *
 *   draw a version ──▶ wait until everyone who held the outbox at that moment has ended ──▶ read, in one statement, without row locks
 *
 * Whoever drew an earlier version held RowExclusiveLock on the outbox when the transactions were listed, or had ended: it has committed by
 * the time of the read, which sees it. Whoever draws a later one is newer than what is read, even where that shows it already. So what is
 * read is the newest state at the drawn version, key by key. `last_value` and a snapshot, or row locks, are not (measured: DESIGN 6.5).
 *
 * One version is enough for any number of rows: versions are compared for one key at a time. It is drawn without a row in the outbox. That is
 * the very gap that a rolled-back transaction leaves: the relay's horizon passes it when the transactions of its time have ended, and no row can
 * ever appear in it. The rule that only the insert draws is about rows that do appear, below a checkpoint that has passed them.
 *
 * @returns the version; read in the next statement
 */
export async function drawAndWait(
  database: Queryable,
  options: {
    readonly signal: AbortSignal
    /** Told who is waited for, after a while and now and then. */
    readonly onWaiting?: (holders: readonly Holder[]) => Promise<void> | void
    readonly clock?: Clock
  },
): Promise<number> {
  const { signal, onWaiting, clock = systemClock } = options
  for (;;) {
    const { rows } = await database.query<{ version: string }>('select comity.draw_version()::text as version')
    const version = Number(rows[0]?.version)
    if (await allEnded(database, signal, clock, onWaiting)) return version
    signal.throwIfAborted()
  }
}

/** Who may still commit something older. */
export interface Holder {
  /** Of its session; undefined for a prepared transaction. */
  readonly pid?: number
  /** The name of a prepared transaction. */
  readonly prepared?: string
  /** How long it has been open. */
  readonly seconds: number
}

/** False: the database began another life meanwhile; the version belongs to the one before. */
async function allEnded(
  database: Queryable,
  signal: AbortSignal,
  clock: Clock,
  onWaiting: ((holders: readonly Holder[]) => Promise<void> | void) | undefined,
): Promise<boolean> {
  const horizon = new Horizon()
  let first: HorizonReading | undefined
  let toldAt = clock.monotonic()
  for (let turn = 0; !signal.aborted; turn++) {
    const reading = await readHorizon(database)
    first ??= reading
    if (reading.identity !== first.identity) return false
    horizon.observe(reading)
    if (horizon.ended !== undefined) return true
    if (onWaiting !== undefined && clock.monotonic() - toldAt > TELL_EVERY) {
      toldAt = clock.monotonic()
      await onWaiting(await holders(database))
    }
    await clock.sleep(backoff(turn, { min: 1, max: 50 }) + 1, signal)
  }
  return false
}

const TELL_EVERY = 1000

const HOLDERS = `
  select pid, prepared, coalesce(seconds, 0)::int as seconds from comity.outbox_holders() order by seconds desc nulls last limit 5`

async function holders(database: Queryable): Promise<readonly Holder[]> {
  const { rows } = await database.query<{ pid: number | null; prepared: string | null; seconds: number }>(HOLDERS)
  return rows.map(({ pid, prepared, seconds }) => ({
    seconds,
    ...(pid === null ? {} : { pid }),
    ...(prepared === null ? {} : { prepared }),
  }))
}
