import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { brokerNameOf, provisionPlan, type TransportMove, transportMove } from 'comity/admin'
import { openTransport } from 'comity/transport'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act } from '../../act.ts'
import { declare, type ExitCode, withConfig, withJson } from '../../command.ts'
import { loadTeams } from '../../load-config.ts'

interface MoveOptions extends Partial<ActOptions> {
  readonly to: string
  readonly status?: boolean
  readonly finish?: boolean
  readonly abandon?: boolean
}

const HELP = `
Provisions the new broker, then waits until every subscription of these teams has switched, and says what to do next. The processes do
the work: start them again, one after the other, with COMITY_TRANSPORT_TO set to the new URL beside the transport that they have. They
publish to both, and each subscription switches when nothing is left for it at the old one. Ending this command, or any process, changes
nothing: run it again.

A team may stop publishing to the old broker when every team that reads its topics has switched, those of other configurations too. Who
knows that says so with --finish; then the new URL becomes the transport, and COMITY_TRANSPORT_TO goes.

Exit codes: 0 = everything has switched, or done; 1 = error; 2 = not yet (--status).

Example:
  $ comity transport move --to $NEW_URL
  $ comity transport move --to $NEW_URL --finish --reason 'all teams have switched'`

/** Between two looks, in milliseconds. */
const LOOK_EVERY = 1000

export function moveCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('move')
    .description('move to another broker while everything runs')
    .requiredOption('--to <url>', 'the new broker')
    .option('--status', 'look once, and change nothing')
    .option('--finish', 'every team has switched: processes may leave the old broker')
    .option('--abandon', 'nothing has switched: processes may go on with the old broker alone')
    .option('-r, --reason <text>', 'why; it is recorded (with --finish and --abandon)')
    .option('--author <name>', 'who; default: $COMITY_AUTHOR, or the user of this system')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: MoveOptions): Promise<ExitCode> {
  const teams = await loadTeams(options)
  const to = brokerNameOf(options.to)
  try {
    if (options.finish || options.abandon) return await decide(teams, to, options)
    if (!options.status) await provision(teams, options)
    for (let shown = ''; ; ) {
      const moves = await Promise.all(teams.map(async (team) => ({ team: team.name, move: await moveOf(team, to) })))
      const switched = moves.every(({ move }) => move !== undefined && isOver(move))
      const text = moves.map(({ team, move }) => lines(team, move, to)).join('\n')
      if (!options.json && text !== shown) console.log(text)
      shown = text
      if (switched || options.status) {
        if (options.json)
          console.log(JSON.stringify({ to, switched, teams: moves.map(({ team, move }) => move ?? { team, to, startedAt: null }) }))
        else if (switched) console.log(NEXT(to))
        return switched ? 0 : 2
      }
      await delay(LOOK_EVERY)
    }
  } finally {
    for (const team of teams) await team.stop()
  }
}

async function provision(teams: readonly Team[], options: MoveOptions): Promise<void> {
  const transport = openTransport(options.to, { allowUnsafe: teams.some(({ environment }) => environment.allowUnsafe) })
  try {
    for (const team of teams) {
      const steps = await transport.provision(provisionPlan(team.declaration, team.environment.namespace))
      if (options.json) continue
      console.log(
        `${pc.bold(team.name)}: ${steps.length === 0 ? 'nothing is missing' : `created ${steps.length} topics and subscriptions`} at the new broker`,
      )
    }
  } finally {
    await transport.close()
  }
}

async function decide(teams: readonly Team[], to: string, options: MoveOptions): Promise<ExitCode> {
  const kind = options.finish ? 'finish-move' : 'abandon-move'
  for (const team of teams) await act(team, kind, { to }, { ...options, reason: options.reason ?? '' })
  const names = teams.map(({ name }) => name)
  if (options.json) console.log(JSON.stringify({ to, [options.finish ? 'finished' : 'abandoned']: names }))
  else if (options.finish) console.log(`${names.join(', ')}: the move is over. Make ${to} the transport, and take COMITY_TRANSPORT_TO away`)
  else console.log(`${names.join(', ')}: the move is given up. Start the processes again without COMITY_TRANSPORT_TO`)
  return 0
}

async function moveOf(team: Team, to: string): Promise<TransportMove | undefined> {
  const move = await transportMove(team.declaration, team.environment)
  return move?.to === to ? move : undefined
}

function isOver({ publishedToBothAt, subscriptions }: TransportMove): boolean {
  return publishedToBothAt !== null && subscriptions.every(({ state }) => state === 'switched')
}

/** Longer ago, in seconds, and nobody relays. */
const SILENT_AFTER = 20

function lines(team: string, move: TransportMove | undefined, to: string): string {
  const name = pc.bold(team)
  if (move === undefined)
    return `${name}: no process of it runs with COMITY_TRANSPORT_TO yet; start them again with COMITY_TRANSPORT_TO=${to}`
  const { publishedToBothAge: age } = move
  const relay =
    age === null
      ? pc.yellow('no relay publishes to both yet')
      : age > SILENT_AFTER
        ? pc.yellow('published to both, and nobody relays now')
        : pc.green('publishes to both')
  const states = move.subscriptions.map(({ name: subscription, state }) => {
    if (state === 'switched') return `  ${subscription}: ${pc.green('switched')}`
    return `  ${subscription}: ${pc.yellow(state === 'draining' ? 'draining the old broker' : 'waiting for a sign that its owner publishes to both')}`
  })
  return [`${name}: ${relay}`, ...states].join('\n')
}

const NEXT = (to: string): string => `
Everything here has switched. When every other team that reads topics of these teams has switched too:
  1. comity transport move --to <url> --finish
  2. start each process again with ${to} as its transport, and without COMITY_TRANSPORT_TO`
