import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { type NewestEnded, newestEnded, provisionPlan, type RebuildOutcome, type RebuiltTopic, releaseHold } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { declare, type ExitCode } from '../../command.ts'
import { loadTeams } from '../../load-config.ts'

const HELP = `
Run it instead of "comity provision" when the broker was lost for good and an empty one has taken its place. For every team of the
configuration it stops the relay, creates topics and subscriptions, and lets the relay send everything again that the outbox still has.
Consumers drop what they had handled already.

A subscription gets only what is sent after it was created: those of all teams must exist before any owner sends again. Give all teams
in one configuration; where that is not possible, run "comity provision" for the others first, while the relays of the owners are stopped.

What the outbox does not have any more (it keeps a day of what was sent) is named as lost for whoever had not handled it. Copies can not be
completed from their owners yet: that takes a backfill, which does not exist yet.

Exit codes: 0 = sent again, nothing is lost; 1 = error; 3 = sent again, and something is lost, or may be.

Example:
  $ comity transport rebuild --reason 'the disk of the bus is gone'`

/** So long nobody relays while topics and subscriptions are created, in seconds; over by itself if this command dies. */
const HOLD = 300

export function rebuildCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('rebuild').description('fill an empty broker again from the outboxes').addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

interface Rebuilt {
  readonly team: string
  readonly outcome: RebuildOutcome
  readonly subscriptions: readonly Verdict[]
  /** False: the hold ended before the broker was ready. */
  readonly inTime: boolean
}
/** `complete`: its owner has everything; `passed`: the newest it handled is above what is gone; `lost`: what lies between is; `unknown`: no such owner here. */
interface Verdict extends NewestEnded {
  readonly state: 'complete' | 'passed' | 'lost' | 'unknown'
  readonly gone: RebuiltTopic['gone']
}

async function run(options: ActOptions): Promise<ExitCode> {
  const teams = await loadTeams(options)
  try {
    if (options.dryRun) return await plan(teams, options)
    const outcomes = new Map<Team, RebuildOutcome>()
    for (const team of teams) outcomes.set(team, await act<RebuildOutcome>(team, 'rebuild-transport', { hold: HOLD }, options))
    const wait = Math.max(0, ...[...outcomes.values()].map(({ leader }) => leader?.seconds ?? 0))
    if (wait > 0 && !options.json) console.log(`waiting ${Math.ceil(wait)} s until those that relay have surely stopped`)
    await delay(Math.ceil(wait * 1000))
    for (const team of teams) await team.provision()
    for (const team of teams) await requireSubscriptions(team)
    const rebuilt: Rebuilt[] = []
    for (const [team, outcome] of outcomes) {
      const inTime = outcome.hold === null || (await releaseHold(team.environment, outcome.hold))
      rebuilt.push({ team: team.name, outcome, subscriptions: await verdictsOf(team, outcomes), inTime })
    }
    if (options.json) console.log(JSON.stringify({ teams: rebuilt }))
    else for (const one of rebuilt) show(one)
    return rebuilt.some(({ outcome, inTime, subscriptions }) => isIncomplete(outcome) || !inTime || subscriptions.some(isLost)) ? 3 : 0
  } finally {
    for (const team of teams) await team.stop()
  }
}

async function plan(teams: readonly Team[], options: ActOptions): Promise<ExitCode> {
  const plans = await Promise.all(teams.map(async (team) => ({ team: team.name, steps: await team.provision({ dryRun: true }) })))
  if (options.json) console.log(JSON.stringify({ dryRun: true, teams: plans }))
  else
    for (const { team, steps } of plans) console.log(`${pc.bold(team)}: the broker lacks ${steps.length} of its topics and subscriptions`)
  return 0
}

/** Before anything is sent: throws what the broker says of one that is missing, and then nobody relays until the hold is over. */
async function requireSubscriptions({ declaration, environment }: Team): Promise<void> {
  await environment.transport.stats?.(provisionPlan(declaration, environment.namespace).subscriptions.map(({ name }) => name))
}

async function verdictsOf(team: Team, outcomes: ReadonlyMap<Team, RebuildOutcome>): Promise<readonly Verdict[]> {
  const topics = new Map([...outcomes.values()].flatMap((outcome) => outcome.topics.map((topic) => [topic.topic, topic] as const)))
  return (await newestEnded(team.environment)).map((one): Verdict => {
    const owned = topics.get(one.topic)
    const gone = owned?.gone ?? null
    if (owned === undefined) return { ...one, state: 'unknown', gone }
    if (gone === null) return { ...one, state: 'complete', gone }
    return { ...one, state: one.newest !== null && one.newest >= gone.before.time ? 'passed' : 'lost', gone }
  })
}

function isIncomplete({ topics }: RebuildOutcome): boolean {
  return topics.some(({ gone }) => gone !== null)
}
function isLost({ state }: Verdict): boolean {
  return state === 'lost' || state === 'unknown'
}

function show({ team, outcome, subscriptions, inTime }: Rebuilt): void {
  const name = pc.bold(team)
  if (!inTime) console.log(`${name}: ${pc.red('relaying began before the broker was ready; run this command again')}`)
  for (const { topic, messages, from, gone } of outcome.topics) {
    const sent =
      messages === 0 || from === null ? 'nothing to send' : `${messages} sent again, from ${from.time} (version ${from.version}) on`
    console.log(`${name}: ${topic}: ${sent}`)
    if (gone !== null)
      console.log(pc.yellow(`  gone: versions below ${gone.before.version}, announced between ${gone.since} and ${gone.before.time}`))
  }
  for (const { subscription, state, newest, gone } of subscriptions) {
    const seen = newest === null ? 'it has handled nothing yet' : `the newest that it has handled is of ${newest}`
    if (state === 'passed') console.log(`${name}: ${subscription}: ${seen}; of what is gone, only what had been left behind is lost`)
    if (state === 'lost')
      console.log(`${name}: ${subscription}: ${pc.red('lost')}: ${seen}, and all after it up to ${gone?.before.time} is gone`)
    if (state === 'unknown')
      console.log(`${name}: ${subscription}: ${pc.yellow('its owner is not in this configuration: rebuild there too')}`)
  }
}
