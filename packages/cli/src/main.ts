import { CommanderError } from 'commander'
import type { ExitCode } from './command.ts'
import { BadUsage } from './errors.ts'
import { errorText } from './print-error.ts'
import { createProgram } from './program.ts'

/** The command line: what follows `comity` in, exit code out. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0
  const program = await createProgram((given) => {
    code = given
  }, args)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help, which was asked for or shown because no command was given.
    if (/^commander\.(help|version)/.test(error.code)) return error.exitCode
    console.error(errorText(new BadUsage({ reason: error.message.replace(/^error: /, '').replaceAll('\n', ' ') })))
    return 1
  }
  return code
}
