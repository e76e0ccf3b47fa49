import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { listCommand } from './subscriptions/list.ts'
import { removeCommand } from './subscriptions/remove.ts'
import { renameCommand } from './subscriptions/rename.ts'

const HELP = `
Example:
  $ comity subscriptions --state paused
  $ comity subscriptions email-sent --sort lag`

export function subscriptionsCommand(finish: (code: ExitCode) => void): Command {
  return new Command('subscriptions')
    .description('list the subscriptions with their state; rename one, remove one that no code declares')
    .addCommand(listCommand(finish), { isDefault: true })
    .addCommand(renameCommand(finish))
    .addCommand(removeCommand(finish))
    .addHelpText('after', HELP)
}
