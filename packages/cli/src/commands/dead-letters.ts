import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { editCommand } from './dead-letters/edit.ts'
import { exportCommand } from './dead-letters/export.ts'
import { groupsCommand } from './dead-letters/groups.ts'
import { discardCommand, retryCommand, skipCommand } from './dead-letters/lines.ts'
import { listCommand } from './dead-letters/list.ts'
import { showCommand } from './dead-letters/show.ts'

const HELP = `
A dead letter is the head of a key's line that failed for good; the key's later messages wait behind it, in order. Other keys
go on. "retry" runs a line again; "skip" ends its head by name and runs the rest; "discard" ends all of it by name.

Example:
  $ comity dead-letters groups
  $ comity dead-letters retry --fingerprint 3fa1b2c4d5e6 --staged --reason 'deployed the fix' --yes 17`

export function deadLettersCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('dead-letters')
    .description('what failed for good: look at it, retry it, skip it, put it right')
    .addCommand(listCommand(finish), { isDefault: true })
  for (const create of [groupsCommand, showCommand, retryCommand, skipCommand, discardCommand, editCommand, exportCommand])
    command.addCommand(create(finish))
  return command.addHelpText('after', HELP)
}
