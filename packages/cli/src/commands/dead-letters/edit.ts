import { readFileSync } from 'node:fs'
import { showDeadLetter } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { confirm } from '../../confirm.ts'
import { BadValue } from '../../errors.ts'

interface EditOptions extends ActOptions {
  readonly data: string
  readonly yes?: string
}

const HELP = `
Only where the team's option allowEdit is on. The original is kept in comity.edited; the key and the tenant stay; nothing runs
until the line is retried.

Exit codes: 0 = done; 1 = error, or not confirmed.

Example:
  $ comity dead-letters show crm.marketing-email-sent customer-17 --data --json | jq -r .head.data > fixed.json
  $ comity dead-letters edit crm.marketing-email-sent customer-17 --data fixed.json --reason 'typo at the owner' --yes customer-17`

export function editCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('edit')
    .description("put other data in the place of a dead letter's")
    .argument('<subscription>', 'e.g. crm.marketing-email-sent')
    .argument('<key>', 'of the message')
    .requiredOption('--data <file>', 'the JSON object to take its place; - = standard input')
    .option('--yes <key>', 'do it; the key confirms it')
    .addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

function run(options: EditOptions, subscription: string, key: string): Promise<ExitCode> {
  return withTeam(options, { command: 'dead-letters edit', subscription }, async (team) => {
    const data = objectIn(options.data)
    const { message } = (await showDeadLetter(team.environment, { subscription, key })).head
    const what = `this edits message ${message} of key ${key} in ${subscription}`
    if (!options.dryRun) {
      await confirm({ what, yes: key, given: options.yes, json: options.json })
      const outcome = await act<object>(team, 'edit-message', { subscription, key, message, data }, options)
      console.log(
        options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: edited; retry its line to run it`,
      )
    } else console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, message }) : what)
    return 0
  })
}

function objectIn(path: string): object {
  const text = readFileSync(path === '-' ? 0 : path, 'utf8')
  try {
    const data: unknown = JSON.parse(text)
    if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data
  } catch {
    // It is not shown: it may be a customer's.
  }
  throw new BadValue({ option: '--data', value: path, expected: 'a file with one JSON object' })
}
