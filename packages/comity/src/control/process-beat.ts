import { hostname } from 'node:os'
import { type Clock, type Logger, type Loop, libraryVersion, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { ProcessProgress, ProgressTracker } from './progress-tracker.ts'

const BEAT = `
  insert into comity.processes (holder, pid, host, library, progress) values ($1::text, $2::int, $3::text, $4::text, $5::text::jsonb)
  on conflict (holder) do update set beat_at = clock_timestamp(), progress = excluded.progress`

/** Between two looks at the progress, in milliseconds; they cost no statement. */
const LOOK_EVERY = 2000
/** A row that says nothing new is written this often all the same, in milliseconds. */
const BEAT_EVERY = 10_000

/** Keeps this process's row of `comity.processes`: at once when its progress changed, else every ten seconds. It goes at a clean stop. */
export function processBeat(options: {
  readonly holder: string
  readonly database: Queryable
  readonly tracker: ProgressTracker
  /** A status of this process is another one than before, and its row says so. */
  readonly onStatus?: () => void
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { holder, database, tracker, clock = systemClock, logger = silentLogger } = options
  let written = ''
  let status = ''
  let writtenAt = Number.NEGATIVE_INFINITY

  async function runOnce(): Promise<'busy' | 'idle'> {
    const progress = tracker.read()
    const text = JSON.stringify(progress)
    if (text === written && clock.monotonic() - writtenAt < BEAT_EVERY) return 'idle'
    await database.query(BEAT, [holder, process.pid, hostname(), libraryVersion(), text])
    written = text
    writtenAt = clock.monotonic()
    const now = statusOf(progress)
    if (now !== status) options.onStatus?.()
    status = now
    return 'idle'
  }

  const base = loop({ name: `beat of ${holder}`, poll: { min: LOOK_EVERY, max: LOOK_EVERY }, runOnce, clock, logger })
  const stop = base.stop.bind(base)
  return Object.defineProperties(base, {
    stop: {
      async value() {
        await stop()
        if (written !== '') await database.query('delete from comity.processes where holder = $1::text', [holder]).catch(() => undefined)
      },
    },
  }) as Loop
}

/** Without the numbers, which change all the time. */
function statusOf({ relay, subscriptions }: ProcessProgress): string {
  return JSON.stringify([relay?.still, relay?.troubleSince, Object.entries(subscriptions).map(([name, { state }]) => [name, state])])
}
