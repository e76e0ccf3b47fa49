import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { dropCommand } from './replica/drop.ts'
import { narrowCommand } from './replica/narrow.ts'
import { rebuildCommand } from './replica/rebuild.ts'

const HELP = `
What can be changed in place, "comity migrate" changes; what nothing declares any more it names, and leaves. These acts do the rest.
Run them as the owner of the tables.

Example:
  $ comity replica rebuild marketing.crm-customer --reason 'its key is in another column'`

export function replicaCommand(finish: (code: ExitCode) => void): Command {
  return new Command('replica')
    .description("change a copy's table: rebuild it beside its readers, drop columns, drop it")
    .addCommand(rebuildCommand(finish))
    .addCommand(narrowCommand(finish))
    .addCommand(dropCommand(finish))
    .addHelpText('after', HELP)
}
