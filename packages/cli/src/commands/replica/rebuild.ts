import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { type ReplicaRebuild, replicaRebuild } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, withAct } from '../../act.ts'
import { actPatiently } from '../../act-patiently.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { numberOf } from '../../page-options.ts'

interface RebuildOptions extends ActOptions {
  readonly cancel?: boolean
  readonly wait: string
}

const HELP = `
A new table of the declared shape is filled by a backfill and by every live change, compared with its owner, and put in the place of the
old one: with its name, owner, rights and indexes, in one short transaction. Until then readers have the old one. "comity run" of the
team does the filling; this command begins, waits and switches, and goes on where it was ended.

A table with views, foreign keys, triggers, policies, constraints or columns of your own is refused, and each is named. Give this
command a role that owns the table; as a member of pg_read_all_stats it sees readers of other roles.

Exit codes: 0 = done; 1 = error; 2 = not complete yet, run it again.

Example:
  $ comity replica rebuild marketing.crm-customer --reason 'its key is in another column'`

export function rebuildCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('rebuild')
    .description("fill a new table, and put it in the place of a copy's without its readers noticing")
    .argument('<copy>', 'e.g. marketing.crm-customer')
    .option('--wait <seconds>', 'how long to wait for it', '3600')
    .option('--cancel', 'give up the new table')
    .addHelpText('after', HELP)
  return declare(withAct(made), run, finish)
}

function run(options: RebuildOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: 'replica rebuild', subscription: replica }, async (team) => {
    const say = (words: string, more: object): void =>
      console.log(options.json ? JSON.stringify({ team: team.name, replica, ...more }) : `${pc.bold(team.name)}: ${words}`)
    const { state } = await replicaRebuild(team.environment, replica)
    if (options.dryRun) {
      const words = state === 'none' ? `this fills a new table for ${replica}` : `the new table of ${replica} is ${state}`
      say(words, { dryRun: true, state })
      return 0
    }
    if (options.cancel) {
      await actPatiently(team, 'cancel-rebuild', { replica }, options)
      say(`the new table of ${replica} is given up`, { cancelled: true })
      return 0
    }
    await actPatiently(team, 'rebuild-replica', { replica }, options)
    const until = performance.now() + numberOf('--wait', options.wait) * 1000
    const found = await waitFor(team, replica, until, options.json === true)
    if (found.state === 'ready' && found.readers.length === 0) {
      await actPatiently(team, 'switch-replica', { replica }, options, until)
      say(`${replica} is read from its new table`, { switched: true })
      return 0
    }
    const readers = found.readers.length === 0 ? '' : `; it waits for transactions from before: pid ${found.readers.join(', ')}`
    say(`the new table of ${replica} is ${found.state}${readers}: run this again`, { switched: false, ...found })
    return 2
  })
}

async function waitFor(team: Team, replica: string, until: number, quiet: boolean): Promise<ReplicaRebuild> {
  let shown = ''
  for (;;) {
    const found = await replicaRebuild(team.environment, replica)
    const line = `${found.state}${found.state === 'filling' ? `: ${found.rows} of about ${found.estimate ?? '?'} rows` : ''}`
    const rewrite = process.stdout.isTTY && !quiet
    if (rewrite) process.stdout.write(`\r\x1b[K${line}`)
    else if (!quiet && found.state !== shown) console.log(line)
    shown = found.state
    const isOver = ['ready', 'incomplete', 'cancelled', 'refused', 'none'].includes(found.state)
    if ((isOver && found.readers.length === 0) || performance.now() >= until) {
      if (rewrite) process.stdout.write('\n')
      return found
    }
    await delay(200)
  }
}
