import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { type EraseOutcome, type ErasureRecord, erasureRegister, planErasure } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { printable } from '../../cell.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { confirm } from '../../confirm.ts'
import { countsOf, receiptText } from './receipt-text.ts'

interface EraseOptions extends ActOptions {
  readonly delete?: boolean
  readonly yes?: string
  readonly wait: boolean
}

const HELP = `
Run it at the owner, after your application has removed its own row: a row that is still there is refused, or deleted in the
same transaction (--delete, with the rights that this role has on the table). Payloads of the key then go from the outbox and
from what is withheld or scheduled, here; at every team that reads it the row of its copy, its lines and what was edited go,
a tombstone stays, and nothing that is older comes back. Each team answers with a receipt.

It does not reach: what handlers wrote into tables of their own (they hear of the deletion), other topics that name the same
person (erase those by their keys), the key itself, backups, and what the broker keeps until the date that the receipts name.

Exit codes: 0 = done, and all who are known to read it have answered; 1 = error, or not confirmed; 2 = some have not answered.

Example:
  $ comity erase key crm.customer 42 --reason 'request 117' --dry-run
  $ comity erase key crm.customer 42 --reason 'request 117' --yes 42`

export function keyCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('key')
    .description('erase what is known of one key, everywhere')
    .argument('<topic>', 'an entity or an event of this team, e.g. crm.customer')
    .argument('<key>', 'e.g. 42')
    .option('--delete', "delete the owner's row too, if it is still there")
    .option('--yes <key>', 'do it; the key confirms it')
    .option('--no-wait', 'do not wait for the receipts; "comity erase register" shows them')
    .addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

function run(options: EraseOptions, topic: string, key: string): Promise<ExitCode> {
  return withTeam(options, { command: 'erase', subscription: topic }, async (team) => {
    const plan = await planErasure(team.environment, team.declaration, { topic, key })
    const teams = [...new Set(plan.holders.map((holder) => holder.team))]
    const what = `this erases ${topic} ${printable(key)}: ${countsOf(plan)} here, and what ${teams.join(', ') || 'nobody that is known'} holds`
    if (options.dryRun) {
      if (options.json) console.log(JSON.stringify({ team: team.name, dryRun: true, ...plan }))
      else
        console.log(`${pc.bold(team.name)}: ${what}${plan.there ? `; its row is still there${options.delete ? ' and goes too' : ''}` : ''}`)
      return 0
    }
    await confirm({ what, yes: key, given: options.yes, json: options.json })
    const args = { topic, key, ...(options.delete ? { delete: true } : {}) }
    const outcome = await act<EraseOutcome>(team, 'erase', args, options)
    if (!options.json)
      console.log(`${pc.bold(team.name)}: erased ${topic} ${printable(key)} up to version ${outcome.version}: ${countsOf(outcome)}`)
    const erasure = await receiptsOf(team, outcome.erasure, options)
    const answered = erasure?.announcedAt != null && erasure.missing.length === 0
    if (options.json) console.log(JSON.stringify({ team: team.name, erasure }))
    else if (!answered)
      console.log(pc.yellow(`  still to answer: ${erasure?.missing.join(', ') || 'not announced yet: is a process of the team running?'}`))
    return answered ? 0 : 2
  })
}

/** Shows them as they come, until all have answered or nobody has for a while. */
async function receiptsOf(team: Team, id: string, { wait, json }: EraseOptions): Promise<ErasureRecord | undefined> {
  const shown = new Set<string>()
  for (let until = performance.now() + PATIENCE; ; await delay(200)) {
    const [erasure] = (await erasureRegister(team.environment, { id })).erasures
    for (const receipt of erasure?.receipts ?? []) {
      if (shown.has(receipt.team)) continue
      shown.add(receipt.team)
      until = performance.now() + PATIENCE
      if (!json) console.log(`  ${receiptText(receipt)}`)
    }
    const answered = erasure?.announcedAt != null && erasure.missing.length === 0
    if (answered || !wait || performance.now() > until) return erasure
  }
}

/** For the next receipt, in milliseconds. */
const PATIENCE = 20_000
