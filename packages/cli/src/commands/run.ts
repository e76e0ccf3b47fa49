import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Logger } from 'pino'
import { type CommonOptions, declare, type ExitCode, withConfig } from '../command.ts'
import { DrainTimedOut } from '../errors.ts'
import { loadTeams } from '../load-config.ts'
import { createLog, LEVELS, type Level } from '../log.ts'
import { logEvent } from '../log-events.ts'
import { collectMetrics, type Monitoring, monitoring } from '../monitoring.ts'
import { stopSignal } from '../stop-signal.ts'

interface RunOptions extends CommonOptions {
  readonly only?: 'relay' | 'subscriptions'
  readonly logLevel: Level
  readonly port?: number
  readonly host: string
}

/** Seconds that a process manager usually waits between SIGTERM and SIGKILL. */
const DRAIN_SECONDS = 30

const HELP = `
It migrates and provisions nothing: where something is missing, it says which command does it, and ends.
On SIGTERM or SIGINT it ends what is under way, within ${DRAIN_SECONDS} s; a second signal ends it at once, and nothing is lost either way.
It logs JSON lines, or readable ones on a terminal.
With --port it answers /livez (does everything make progress?), /readyz (can it do its work now?) and /metrics (for Prometheus).

Exit codes: 0 = stopped by a signal; 1 = it did not start, or did not end in time.

Example:
  $ comity run
  $ comity run --config crm --only relay
  $ comity run --port 9464 --host 0.0.0.0`

export function runCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('run')
    .description('run the teams: relay their outboxes, run their subscriptions')
    .addOption(new Option('--only <part>', 'run one of the two').choices(['relay', 'subscriptions']))
    .addOption(new Option('--log-level <level>', 'what to log').choices(LEVELS).default('info'))
    .addOption(new Option('--port <number>', 'serve probes and metrics there; 0 = any free port').env('COMITY_PORT').argParser(portNumber))
    .addOption(new Option('--host <address>', 'the address to serve them at').env('COMITY_HOST').default('127.0.0.1'))
    .addHelpText('after', HELP)
  return declare(withConfig(command), run, finish)
}

async function run(options: RunOptions): Promise<ExitCode> {
  const log = createLog({ level: options.logLevel, readable: process.stdout.isTTY === true })
  const teams = (await loadTeams(options)).map((team) => asAsked(team, options, log))
  const stopped = stopSignal()
  const served = options.port === undefined ? undefined : await serve(teams, options.port, options.host)
  try {
    if (served) logEvent(log, 'comity.monitoring', { url: served.url })
    for (const team of teams) {
      await team.start()
      logEvent(log, 'comity.running', { team: team.name, ...parts(team) })
    }
    logEvent(log, 'comity.stopping', { signal: await stopped })
  } finally {
    await drain(teams)
    await served?.close()
  }
  logEvent(log, 'comity.stopped')
  return 0
}

async function serve(teams: readonly Team[], port: number, host: string): Promise<Monitoring> {
  return monitoring(teams, { port, host, metrics: await collectMetrics() })
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('it is a number from 0 to 65535.')
}

function asAsked(team: Team, { only }: RunOptions, log: Logger): Team {
  const { options } = team
  return team.with({
    ...options,
    relay: only !== 'subscriptions' && (options.relay ?? true),
    subscriptions: only !== 'relay' && (options.subscriptions ?? true),
    logger: options.logger ?? log,
  })
}

function parts({ declaration, options }: Team): object {
  const { owns, publishes, keeps, handles, answers } = declaration
  return {
    ...(options.relay === false ? {} : { topics: [...owns.map(({ entity }) => entity.name), ...publishes.map(({ name }) => name)] }),
    ...(options.subscriptions === false ? {} : { subscriptions: [...keeps, ...handles, ...answers].map(({ name }) => name) }),
  }
}

async function drain(teams: readonly Team[]): Promise<void> {
  const timer = new AbortController()
  const late = delay(DRAIN_SECONDS * 1000, undefined, { signal: timer.signal }).then(() => {
    throw new DrainTimedOut({ limit: `${DRAIN_SECONDS} s` }, { limit: `${DRAIN_SECONDS} s` })
  })
  late.catch(() => undefined)
  await Promise.race([Promise.all(teams.map(stop)), late])
  timer.abort()
}

/** A transport that the configuration opened is closed here as well: what it holds at the broker is free at once. */
async function stop(team: Team): Promise<void> {
  await team.stop()
  if (typeof team.options.transport === 'object') await team.options.transport.close()
}
