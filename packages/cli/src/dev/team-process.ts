/**
 * The process of one configuration under `comity dev`: node team-process.js <config>. Loads it, says which teams it has, is told
 * their databases, and runs them until SIGTERM, or until `comity dev` is gone.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import type { Logger } from 'pino'
import { loadTeams } from '../load-config.ts'
import { createLog } from '../log.ts'
import { errorText, shownError } from '../print-error.ts'
import { reportHappenings } from './happenings.ts'
import type { Go, Loaded } from './messages.ts'

/** Between two tries to start a team whose tables are not there yet, in milliseconds. */
const RETRY = 2000
/** And a team that asks what nobody answers yet: its owner is starting too, or waits for its tables. */
const UNANSWERED_RETRY = 300
/** So often before it is said: teams that ask each other can't all be first. */
const QUIET_TRIES = 5
/** Here nobody provisions by hand. */
const ANSWERER = 'Does its owner run here (its own lines say what it lacks), and declare it with .answers(…)?'

const log = createLog({ level: 'info', readable: true })
const stopping = new AbortController()
process.on('SIGTERM', () => stopping.abort())
process.on('disconnect', () => stopping.abort())
// Ctrl-C reaches the whole group of the terminal; `comity dev` decides, and sends SIGTERM.
process.on('SIGINT', () => undefined)

try {
  const teams = await loadTeams({ config: process.argv[2] as string })
  const loaded: Loaded = { teams: teams.map(({ name, options }) => ({ name, ownHandle: typeof options.database === 'object' })) }
  process.send?.(loaded)
  const [go] = (await once(process, 'message', { signal: stopping.signal })) as [Go]
  await Promise.all(teams.map((team) => keepRunning(team, go)))
  process.exit(0)
} catch (error) {
  if (stopping.signal.aborted) process.exit(0)
  console.error(errorText(error))
  process.exit(1)
}

async function keepRunning(team: Team, go: Go): Promise<void> {
  const logger = log.child({ team: team.name })
  let shown = ''
  let unanswered = 0
  while (!stopping.signal.aborted) {
    const running = assign(team, go, log)
    try {
      await running.start()
      logger.info('running')
      await reportHappenings(running, logger, stopping.signal)
    } catch (error) {
      const { code, cause } = shownError(error)
      unanswered = code === 'COMITY_REQUEST_UNANSWERED' ? unanswered + 1 : 0
      const text =
        unanswered > 0 ? `waits: ${cause} yet. ${ANSWERER}` : `not started; tried again every ${RETRY / 1000} s\n${errorText(error)}`
      if (unanswered === 0 && text !== shown) logger.error(text)
      if (unanswered === QUIET_TRIES) logger.warn(text)
      shown = text
    } finally {
      await running.stop()
    }
    await delay(unanswered > 0 && unanswered < QUIET_TRIES ? UNANSWERED_RETRY : RETRY, undefined, { signal: stopping.signal }).catch(
      () => undefined,
    )
  }
}

/** Whatever URLs a configuration names: `comity dev` migrates, and must not do that anywhere but on its own server. */
function assign(team: Team, go: Go, logger: Logger): Team {
  const { options } = team
  const database = typeof options.database === 'object' ? options.database : go.databases[team.name]
  return team.with({ ...options, database, transport: go.transport, autoMigrate: true, logger })
}
