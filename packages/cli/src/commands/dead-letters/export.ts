import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { Writable } from 'node:stream'
import { exportDeadLetters } from 'comity/admin'
import { Command } from 'commander'
import { withTeam } from '../../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../../command.ts'
import { type SelectionOptions, selectionOf, withSelection } from '../../selection-options.ts'

interface ExportOptions extends CommonOptions, SelectionOptions {
  readonly data?: boolean
  readonly output?: string
}

const HELP = `
One JSON object a line (NDJSON), page by page, however many there are.

Exit codes: 0 = done; 1 = error.

Example:
  $ comity dead-letters export --team crm --tenant agency-7 --data --output agency-7.ndjson`

export function exportCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('export')
    .description('all dead letters of a selection, as lines of JSON')
    .option('--data', 'their content too: it belongs to somebody')
    .option('-o, --output <file>', 'into this file; default: standard output')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(withSelection(command))), run, finish)
}

function run(options: ExportOptions): Promise<ExitCode> {
  return withTeam(options, { command: 'dead-letters export', subscription: options.subscription }, async ({ environment }) => {
    const file = options.output === undefined ? undefined : createWriteStream(options.output, { mode: 0o600 })
    for await (const letter of exportDeadLetters(environment, selectionOf(options), { data: options.data === true }))
      await write(file ?? process.stdout, `${JSON.stringify(letter)}\n`)
    if (file !== undefined) await once(file.end(), 'close')
    return 0
  })
}

/** What reads it may be slower than the database. */
async function write(to: Writable, line: string): Promise<void> {
  if (!to.write(line)) await once(to, 'drain')
}
