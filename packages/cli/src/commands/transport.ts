import { Command } from 'commander'
import type { ExitCode } from '../command.ts'
import { moveCommand } from './transport/move.ts'
import { rebuildCommand } from './transport/rebuild.ts'

const HELP = `
Example:
  $ comity transport move --to $NEW_URL
  $ comity transport rebuild --reason 'the disk of the bus is gone'`

export function transportCommand(finish: (code: ExitCode) => void): Command {
  return new Command('transport')
    .description('move to another broker without downtime; fill one again that was lost')
    .addCommand(moveCommand(finish))
    .addCommand(rebuildCommand(finish))
    .addHelpText('after', HELP)
}
