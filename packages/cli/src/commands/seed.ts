import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../act.ts'
import { withTeam } from '../choose-team.ts'
import { declare, type ExitCode } from '../command.ts'

const HELP = `
Reads lines of JSON, one state each, from a file or with - from its input. Subscriptions get no message of it: copies get it when they are filled.
A key that was published already stays as it is.

Exit codes: 0 = done; 1 = error: what was taken before stays, and can be given again.

Example:
  $ psql $CRM_URL -Atc 'select row_to_json(c) from old_customers c' | comity seed crm.customer - --reason 'before Comity'`

/** States of one transaction. */
const AT_ONCE = 1000

export function seedCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('seed')
    .description('make states known that existed before code published them first')
    .argument('<entity>', 'e.g. crm.customer')
    .argument('<file>', 'lines of JSON; - reads the input')
    .addHelpText('after', HELP)
  return declare(withAct(made), (options: ActOptions, entity: string, file: string) => run(options, entity, file), finish)
}

function run(options: ActOptions, entity: string, file: string): Promise<ExitCode> {
  return withTeam(options, { command: 'seed', subscription: entity }, async (team) => {
    const lines = createInterface({ input: file === '-' ? process.stdin : createReadStream(file, 'utf8') })
    let [states, given, taken] = [[] as unknown[], 0, 0]
    const flush = async (): Promise<void> => {
      if (states.length === 0) return
      if (!options.dryRun) taken += (await act<{ readonly taken: number }>(team, 'seed', { entity, states }, options)).taken
      given += states.length
      states = []
    }
    for await (const line of lines) {
      if (line.trim() === '') continue
      states.push(JSON.parse(line))
      if (states.length === AT_ONCE) await flush()
    }
    await flush()
    const counts = { entity, states: given, ...(options.dryRun ? { dryRun: true } : { taken }) }
    const words = options.dryRun
      ? `this seeds ${given} states of ${entity}`
      : `${taken} of ${given} states of ${entity} are known now; the others were already`
    console.log(options.json ? JSON.stringify({ team: team.name, ...counts }) : `${pc.bold(team.name)}: ${words}`)
    return 0
  })
}
