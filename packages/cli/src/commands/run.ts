import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { Command, Option } from 'commander'
import type { Logger } from 'pino'
import { type CommonOptions, declare, type ExitCode, withConfig } from '../command.ts'
import { DrainTimedOut } from '../errors.ts'
import { loadTeams } from '../load-config.ts'
import { createLog, LEVELS, type Level } from '../log.ts'
import { stopSignal } from '../stop-signal.ts'

interface RunOptions extends CommonOptions {
  readonly only?: 'relay' | 'subscriptions'
  readonly logLevel: Level
}

/** Seconds that a process manager usually waits between SIGTERM and SIGKILL. */
const DRAIN_SECONDS = 30

const HELP = `
It migrates and provisions nothing: where something is missing, it says which command does it, and ends.
On SIGTERM or SIGINT it ends what is under way, within ${DRAIN_SECONDS} s; a second signal ends it at once, and nothing is lost either way.
It logs JSON lines, or readable ones on a terminal.

Exit codes: 0 = stopped by a signal; 1 = it did not start, or did not end in time.

Example:
  $ comity run
  $ comity run --config crm --only relay`

export function runCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('run')
    .description('run the teams: relay their outboxes, run their subscriptions')
    .addOption(new Option('--only <part>', 'run one of the two').choices(['relay', 'subscriptions']))
    .addOption(new Option('--log-level <level>', 'what to log').choices(LEVELS).default('info'))
    .addHelpText('after', HELP)
  return declare(withConfig(command), run, finish)
}

async function run(options: RunOptions): Promise<ExitCode> {
  const log = createLog({ level: options.logLevel, readable: process.stdout.isTTY === true })
  const teams = (await loadTeams(options)).map((team) => asAsked(team, options, log))
  const stopped = stopSignal()
  try {
    for (const team of teams) {
      await team.start()
      log.info({ team: team.name, ...parts(team) }, 'running')
    }
    log.info({ signal: await stopped }, 'stopping: ending what is under way')
  } finally {
    await drain(teams)
  }
  log.info('stopped')
  return 0
}

function asAsked(team: Team, { only }: RunOptions, log: Logger): Team {
  const { options } = team
  return team.with({
    ...options,
    relay: only !== 'subscriptions' && (options.relay ?? true),
    subscriptions: only !== 'relay' && (options.subscriptions ?? true),
    logger: options.logger ?? log.child({ team: team.name }),
  })
}

function parts({ declaration, options }: Team): object {
  const { owns, publishes, keeps, handles } = declaration
  return {
    ...(options.relay === false ? {} : { topics: [...owns.map(({ entity }) => entity.name), ...publishes.map(({ name }) => name)] }),
    ...(options.subscriptions === false ? {} : { subscriptions: [...keeps, ...handles].map(({ name }) => name) }),
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
