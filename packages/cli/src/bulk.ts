import type { Team } from 'comity'
import type { LineEstimate } from 'comity/admin'
import type { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from './act.ts'
import type { ExitCode } from './command.ts'
import { confirm } from './confirm.ts'
import { followJob } from './follow-job.ts'

/** What every act over many lines takes. */
export interface BulkOptions extends ActOptions {
  readonly yes?: string
  readonly wait: boolean
}

export const BULK_EXIT_CODES = `
Exit codes: 0 = done; 1 = error, or not confirmed; 2 = no process has taken it up yet; 3 = some failed again, or it was
stopped or cancelled.`

export function withBulk(command: Command, counted: string): Command {
  return withAct(command)
    .option('--yes <count>', `do it; the count of ${counted} confirms it`)
    .option('--no-wait', 'print the job and end; "comity jobs show" follows it')
}

export interface Bulk {
  readonly kind: string
  /** e.g. `retries` */
  readonly verb: string
  readonly arguments: object
  readonly estimate: LineEstimate
  /** What `--yes` has to say; undefined: nothing. */
  readonly yes: string | undefined
}

/** Says what it will take, has it confirmed, begins the job and follows it. */
export async function runBulk(team: Team, bulk: Bulk, options: BulkOptions): Promise<ExitCode> {
  const { lines, messages } = bulk.estimate
  const what = `this ${bulk.verb} ${lines} lines with ${messages} messages of ${team.name}`
  const quiet = options.json === true
  if (options.dryRun || lines === 0) {
    if (quiet) console.log(JSON.stringify({ team: team.name, dryRun: true, lines, messages }))
    else console.log(`${pc.bold(team.name)}: ${lines === 0 ? 'nothing is selected' : what}`)
    return 0
  }
  if (bulk.yes !== undefined) await confirm({ what, yes: bulk.yes, given: options.yes, json: options.json })
  if (!quiet) console.log(what)
  const { job: id } = await act<{ job: string }>(team, bulk.kind, bulk.arguments, options)
  if (!options.wait) {
    console.log(quiet ? JSON.stringify({ team: team.name, job: id, lines, messages }) : `job ${id}`)
    return 0
  }
  if (!quiet) console.log(`job ${id}`)
  const { job, code } = await followJob(team, id, { quiet })
  if (quiet) console.log(JSON.stringify({ team: team.name, job }))
  return code
}
