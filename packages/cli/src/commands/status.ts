import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { requireInstalled } from 'comity/admin'
import { Command } from 'commander'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { loadTeams } from '../load-config.ts'
import { shownError } from '../print-error.ts'
import { statusText, type TeamReport } from '../status-table.ts'
import { stopSignal } from '../stop-signal.ts'
import { terminalWidth } from '../table.ts'

interface StatusOptions extends CommonOptions {
  readonly watch?: boolean
}

const HELP = `
LAG is messages behind, OLDEST and FRESH the age of what is behind, WAITING messages in the lines of keys that wait.
What is read here and deprecated by its owner is named below the table, with its day; it is no problem.

Exit codes: 0 = no problems; 1 = a team could not be asked; 3 = there are problems, listed below the table.

Example:
  $ comity status --watch`

export function statusCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('status')
    .description('topics, subscriptions, lag, waiting lines, withheld changes and freshness, in one table')
    .option('-w, --watch', 'every second, until Ctrl-C')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: StatusOptions): Promise<ExitCode> {
  const teams = await loadTeams(options)
  try {
    if (!options.watch) return await look(teams, options)
    const stopping = new AbortController()
    void stopSignal().then(() => stopping.abort())
    let code: ExitCode = 0
    while (!stopping.signal.aborted) {
      code = await look(teams, options)
      await delay(1000, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
    return code
  } finally {
    for (const team of teams) await team.stop()
  }
}

async function look(teams: readonly Team[], options: StatusOptions): Promise<ExitCode> {
  const reports = await Promise.all(teams.map(report))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else console.log((options.watch && process.stdout.isTTY ? CLEAR : '') + statusText(reports, terminalWidth()))
  if (reports.some((one) => 'error' in one)) return 1
  return reports.some((one) => 'problems' in one && one.problems.length > 0) ? 3 : 0
}

/** One team that can't be reached does not hide the others. */
async function report(team: Team): Promise<TeamReport> {
  try {
    await requireInstalled(team.environment)
    return await team.status()
  } catch (error) {
    return { team: team.name, error: shownError(error) }
  }
}

/** Home, and clear what follows. */
const CLEAR = '\x1b[H\x1b[2J'
