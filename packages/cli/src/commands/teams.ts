import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { addCommand } from './teams/add.ts'

const HELP = `
Example:
  $ comity teams add billing --keeps crm.customer --fields email,name`

export function teamsCommand(finish: (code: ExitCode) => void): Command {
  return new Command('teams').description('the teams of a workspace: add one').addCommand(addCommand(finish)).addHelpText('after', HELP)
}
