import {
  listSubscriptions,
  SUBSCRIPTION_SORTS,
  SUBSCRIPTION_STATES,
  type SubscriptionSort,
  type SubscriptionState,
  type SubscriptionStatus,
} from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { age, ago, count, lagOf, text } from '../../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'
import { given } from '../../selection-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../../table.ts'

interface ListOptions extends CommonOptions {
  readonly state?: SubscriptionState
  readonly tenant?: string
  readonly sort?: SubscriptionSort
}

const HELP = `
STATE is what is so first of: not-registered (run "comity migrate"), orphaned (no code declares it), paused, seeking (a replay
begins), unattended (no process runs it), and else what the worst of its processes says. WAITING is messages in lines, DEAD
the lines whose head failed for good, LAST how long ago a message ended.

Exit codes: 0 = listed; 1 = error.

Example:
  $ comity subscriptions --tenant agency-7 --sort waiting`

export function listCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('list')
    .description('the subscriptions, with state, lag and what waits')
    .argument('[text]', 'in the name or the topic')
    .addOption(new Option('--state <state>', 'only these').choices([...SUBSCRIPTION_STATES]))
    .option('--tenant <tenant>', 'where something of this one waits or is paused')
    .addOption(new Option('--sort <by>', 'the most first, but for names').choices([...SUBSCRIPTION_SORTS]).default('name'))
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'SUBSCRIPTION', align: 'left', flexible: true },
  { title: 'STATE', align: 'left' },
  { title: 'LAG', align: 'right' },
  { title: 'OLDEST', align: 'right' },
  { title: 'WAITING', align: 'right' },
  { title: 'DEAD', align: 'right' },
  { title: 'LAST', align: 'right' },
]

async function run({ state, tenant, sort, ...options }: ListOptions, asked?: string): Promise<ExitCode> {
  const filter = given({ text: asked, state, tenant, sort })
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    subscriptions: await listSubscriptions(team.declaration, team.environment, filter),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const { team, subscriptions } of reports) console.log(listText(team, subscriptions))
  return 0
}

const PAINT: Partial<Record<SubscriptionState, (text: string) => string>> = { working: pc.green, idle: pc.dim }

function listText(team: string, subscriptions: readonly SubscriptionStatus[]): string {
  if (subscriptions.length === 0) return `${pc.bold(team)}: no subscription is so`
  const rows = subscriptions.map((one): readonly Cell[] => [
    text(one.name),
    text(one.state, PAINT[one.state] ?? pc.red),
    lagOf(one),
    age(one.oldestSeconds),
    count(one.waiting, pc.yellow),
    count(one.waitingFor.parked, pc.red),
    ago(one.lastAt),
  ])
  const reasons = subscriptions
    .filter(({ paused }) => paused !== null)
    .map(
      ({ name, paused }) =>
        `${name} is paused by ${paused?.by === 'breaker' ? 'the breaker' : paused?.author} since ${paused?.since}: ${paused?.reason}`,
    )
  return [renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()), ...reasons].join('\n')
}
