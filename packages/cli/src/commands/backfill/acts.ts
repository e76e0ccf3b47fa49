import { listBackfills } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { numberOf } from '../../page-options.ts'

const START_HELP = `
What the copy holds stays and is put right: newer rows are kept, older ones replaced, rows that the owner does not have are removed.

Exit codes: 0 = begun; 1 = error, or one is under way.

Example:
  $ comity backfill start marketing.crm-customer --rate 5000 --reason 'restored from a dump'`

const WHAT = {
  pause: 'stop filling a copy where it is; live changes go on',
  resume: 'go on with what was paused',
  cancel: 'end filling a copy for good; what was applied stays',
} as const

interface StartOptions extends ActOptions {
  readonly rate?: string
}

export function startCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('start')
    .description('fill a copy again')
    .argument('<copy>', 'e.g. marketing.crm-customer')
    .option('--rate <rows>', 'rows a second at most; the owner may set less')
    .addHelpText('after', START_HELP)
  return declare(withAct(made), (options: StartOptions, copy: string) => start(options, copy), finish)
}

function start(options: StartOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: 'backfill start', subscription: replica }, async (team) => {
    const rate = options.rate === undefined ? {} : { rate: numberOf('--rate', options.rate) }
    if (options.dryRun) {
      console.log(
        options.json
          ? JSON.stringify({ team: team.name, dryRun: true, replica, ...rate })
          : `${pc.bold(team.name)}: this fills ${replica} again`,
      )
      return 0
    }
    const outcome = await act<{ readonly backfill: string }>(team, 'backfill-start', { replica, ...rate }, options)
    console.log(
      options.json
        ? JSON.stringify({ team: team.name, ...outcome })
        : `${pc.bold(team.name)}: ${replica} is asked for, backfill ${outcome.backfill}`,
    )
    return 0
  })
}

export function actCommand(kind: keyof typeof WHAT, finish: (code: ExitCode) => void): Command {
  const help = `
With --team <owner> it is done at the side of the owner, for the copy of another team.

Exit codes: 0 = done; 1 = error, or nothing of it is under way.

Example:
  $ comity backfill ${kind} marketing.crm-customer --reason 'month end'`
  const made = new Command(kind).description(WHAT[kind]).argument('<copy>', 'e.g. marketing.crm-customer').addHelpText('after', help)
  return declare(withAct(made), (options: ActOptions, copy: string) => run(kind, options, copy), finish)
}

function run(kind: keyof typeof WHAT, options: ActOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: `backfill ${kind}`, subscription: replica }, async (team) => {
    if (options.dryRun) {
      const [backfill] = await listBackfills(team.environment, { replica, limit: 1 })
      console.log(
        options.json
          ? JSON.stringify({ team: team.name, dryRun: true, backfill: backfill ?? null })
          : `${pc.bold(team.name)}: this ${kind}s the backfill of ${replica}, which is ${backfill?.state ?? 'not there'}`,
      )
      return 0
    }
    const outcome = await act<object>(team, `backfill-${kind}`, { replica }, options)
    console.log(
      options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: ${kind} of ${replica} is asked for`,
    )
    return 0
  })
}
