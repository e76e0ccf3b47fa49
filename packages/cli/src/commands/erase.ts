import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { keyCommand } from './erase/key.ts'
import { registerCommand } from './erase/register.ts'

const HELP = `
"comity erase crm.customer 42" is "comity erase key crm.customer 42".

Example:
  $ comity erase crm.customer 42 --reason 'request 117' --yes 42
  $ comity erase register --csv > register.csv`

export function eraseCommand(finish: (code: ExitCode) => void): Command {
  return new Command('erase')
    .description('erase what is known of one key, everywhere; who holds what, and the receipts')
    .addCommand(keyCommand(finish), { isDefault: true })
    .addCommand(registerCommand(finish))
    .addHelpText('after', HELP)
}
