import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { actCommand, startCommand } from './backfill/acts.ts'
import { planCommand } from './backfill/plan.ts'
import { statusCommand } from './backfill/status.ts'

const HELP = `
A new copy is filled by itself when its team runs. Nobody else gets a message of it, and the owner sets how much it may ask for.

Example:
  $ comity backfill status --watch
  $ comity backfill start marketing.crm-customer --reason 'restored from a dump'`

export function backfillCommand(finish: (code: ExitCode) => void): Command {
  return new Command('backfill')
    .description('fill copies with what their owners have: what is under way, and acts on it')
    .addCommand(statusCommand(finish), { isDefault: true })
    .addCommand(planCommand(finish))
    .addCommand(startCommand(finish))
    .addCommand(actCommand('pause', finish))
    .addCommand(actCommand('resume', finish))
    .addCommand(actCommand('cancel', finish))
    .addHelpText('after', HELP)
}
