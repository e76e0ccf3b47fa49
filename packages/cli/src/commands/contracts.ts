import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { checkCommand } from './contracts/check.ts'
import { deprecatedCommand } from './contracts/deprecated.ts'

const HELP = `
Example:
  $ comity contracts check --team crm --format github`

export function contractsCommand(finish: (code: ExitCode) => void): Command {
  return new Command('contracts')
    .description('what a change of a contract means for those who read it, and who still reads what is deprecated')
    .addCommand(checkCommand(finish))
    .addCommand(deprecatedCommand(finish))
    .addHelpText('after', HELP)
}
