import { type AskedStanding, listSubscriptions, listTenants } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../act.ts'
import { withTeam } from '../choose-team.ts'
import { declare, type ExitCode } from '../command.ts'
import { given } from '../selection-options.ts'

interface PauseOptions extends ActOptions {
  readonly tenant?: string
}

const PAUSE_HELP = `
A subscription stops reading, its position and backlog are kept. A tenant's messages wait in the lines of their keys while the
others go on; without a subscription, in all of them. What .asks(…) does with outcomes is paused by the name that a subscription
of the request would have; outcomes are heard, and wait. It counts at once, in every process.

Exit codes: 0 = done; 1 = error.

Example:
  $ comity pause crm.marketing-email-sent --reason 'third party is down'
  $ comity pause marketing.crm-change-customer-email --reason 'a bug'
  $ comity pause --team crm --tenant agency-7 --reason 'floods us'`

const RESUME_HELP = `
It goes on where it stopped, in order; also what the breaker has paused.

Exit codes: 0 = done; 1 = error, or it is not paused.

Example:
  $ comity resume crm.marketing-email-sent --reason 'third party is back'`

export function pauseCommand(finish: (code: ExitCode) => void): Command {
  return command('pause', 'stop consuming a subscription, or one tenant', finish).addHelpText('after', PAUSE_HELP)
}
export function resumeCommand(finish: (code: ExitCode) => void): Command {
  return command('resume', 'go on with what was paused', finish).addHelpText('after', RESUME_HELP)
}

function command(kind: 'pause' | 'resume', description: string, finish: (code: ExitCode) => void): Command {
  const made = new Command(kind)
    .description(description)
    .argument('[subscription]', 'e.g. crm.marketing-email-sent; default: all of the team, with --tenant')
    .option('--tenant <tenant>', 'only this one')
  return declare(withAct(made), (options: PauseOptions, subscription?: string) => run(kind, options, subscription), finish)
}

function run(kind: 'pause' | 'resume', options: PauseOptions, subscription?: string): Promise<ExitCode> {
  return withTeam(options, { command: kind, subscription }, async (team) => {
    const { tenant } = options
    const what = [subscription ?? 'all subscriptions', ...(tenant === undefined ? [] : [`for ${tenant}`])].join(' ')
    if (options.dryRun) {
      const affected = (await listSubscriptions(team.declaration, team.environment)).filter(
        ({ name }) => subscription === undefined || name === subscription,
      )
      const outcomes = (await team.status()).requests.filter(
        (one): one is AskedStanding & { handler: string } =>
          one.side === 'asked' && one.handler !== null && (subscription ?? one.handler) === one.handler,
      )
      const [waits] = tenant === undefined ? [] : (await listTenants(team.environment, given({ tenant, subscription }))).items
      const lag = affected.reduce((sum, one) => sum + (one.lag ?? 0), 0)
      const counts = {
        subscriptions: affected.map(({ name }) => name),
        lag,
        outcomes: Object.fromEntries(outcomes.map(({ handler, unhandled }) => [handler, unhandled])),
        ...(tenant === undefined ? {} : { waiting: waits?.waiting ?? 0 }),
      }
      if (options.json) console.log(JSON.stringify({ team: team.name, dryRun: true, ...counts }))
      else
        console.log(
          [
            `${pc.bold(team.name)}: this ${kind}s ${what}: ${affected.length} subscriptions, ${lag} messages on their way`,
            ...(tenant === undefined ? [] : [`${waits?.waiting ?? 0} of the tenant waiting`]),
            ...outcomes.map(({ handler, unhandled }) => `${unhandled} outcomes for ${handler}`),
          ].join(', '),
        )
      return 0
    }
    const outcome = await act<object>(team, kind, given({ subscription, tenant }), options)
    console.log(options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: ${kind}d ${what}`)
    return 0
  })
}
