import { listSubscriptions } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../act.ts'
import { withTeam } from '../choose-team.ts'
import { declare, type ExitCode } from '../command.ts'
import { confirm } from '../confirm.ts'
import { BadUsage, BadValue } from '../errors.ts'

interface ReplayOptions extends ActOptions {
  readonly to?: string
  readonly skipToNow?: boolean
  readonly yes?: string
}

const HELP = `
A replay is a new generation: every message from there on may have its effect again, and handlers see that it is replayed.
Nobody else receives anything. --skip-to-now leaves behind what is at the broker; what waits in lines stays.

Exit codes: 0 = done; 1 = error, or not confirmed.

Example:
  $ comity replay crm.marketing-email-sent --to 2026-11-05T10:00:00Z --reason 'lost its table' --yes crm.marketing-email-sent
  $ comity replay crm.marketing-email-sent --to version:28512345678901 --reason 'bad deploy' --dry-run`

export function replayCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('replay')
    .description('send one subscription back over what the broker keeps, or to its end')
    .argument('<subscription>', 'e.g. crm.marketing-email-sent')
    .addOption(new Option('--to <place>', 'a time, "beginning", or version:<n> of the owner').conflicts('skipToNow'))
    .option('--skip-to-now', 'leave everything behind that is at the broker')
    .option('--yes <subscription>', 'do it; the name of the subscription confirms it')
    .addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

function run(options: ReplayOptions, subscription: string): Promise<ExitCode> {
  return withTeam(options, { command: 'replay', subscription }, async (team) => {
    if (options.to === undefined && !options.skipToNow) throw new BadUsage({ reason: 'replay was given neither --to nor --skip-to-now' })
    const [kind, args] = options.skipToNow
      ? ['skip-to-now', { subscription }]
      : ['replay', { subscription, to: placeOf(options.to as string) }]
    const found = (await listSubscriptions(team.declaration, team.environment)).find(({ name }) => name === subscription)
    const lag = found?.lag ?? null
    const what = options.skipToNow
      ? `this leaves ${lag ?? 'all'} messages of ${subscription} behind`
      : `this sends ${subscription} back to ${options.to}: effects may happen again`
    if (options.dryRun) {
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, lag, generation: found?.generation ?? null }) : what)
      return 0
    }
    await confirm({ what, yes: subscription, given: options.yes, json: options.json })
    const outcome = await act<Record<string, unknown>>(team, kind, args, options)
    if (options.json) console.log(JSON.stringify({ team: team.name, ...outcome }))
    else
      console.log(
        options.skipToNow
          ? `${pc.bold(team.name)}: ${outcome.leftBehind ?? 'all'} messages of ${subscription} are left behind`
          : `${pc.bold(team.name)}: ${subscription} goes on from ${outcome.from}, in generation ${outcome.generation}`,
      )
    return 0
  })
}

function placeOf(to: string): 'beginning' | { readonly time: string } | { readonly version: number } {
  if (to === 'beginning') return to
  const version = /^version:(\d{1,16})$/.exec(to)?.[1]
  if (version !== undefined) return { version: Number(version) }
  if (!/^\d{4}-\d{2}-\d{2}/.test(to) || Number.isNaN(Date.parse(to)))
    throw new BadValue({ option: '--to', value: to, expected: 'a time like 2026-11-05T10:00:00Z, "beginning", or version:<n>' })
  return { time: new Date(to).toISOString() }
}
