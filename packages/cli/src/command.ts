import type { Team } from 'comity'
import { type Command, Option } from 'commander'
import { type ConfigChoice, loadTeams } from './load-config.ts'
import { errorText, shownError } from './print-error.ts'

/** What every command takes. */
export interface CommonOptions extends ConfigChoice {
  readonly json?: boolean
  readonly verbose?: boolean
}

/** 0 = done; 1 = error; what else there is, a command's help says. */
export type ExitCode = number

/** Gives a command its common options, and its work the one way in which it ends: an exit code, or an error as it is printed here. */
export function declare<Options extends CommonOptions>(
  command: Command,
  work: (options: Options, ...args: string[]) => Promise<ExitCode>,
  finish: (code: ExitCode) => void,
): Command {
  return command.addOption(new Option('-v, --verbose', 'show where an error comes from')).action(async (...given: unknown[]) => {
    const [options, ...args] = [given.at(-2) as Options, ...(given.slice(0, -2) as string[])]
    try {
      finish(await work(options, ...args))
    } catch (error) {
      if (options.json) console.log(JSON.stringify({ error: shownError(error) }))
      else console.error(errorText(error, options))
      finish(1)
    }
  })
}

export function withConfig(command: Command): Command {
  return command
    .option('-c, --config <path>', 'the configuration file, or its folder', '.')
    .option('-t, --team <name>', 'only this team of the configuration')
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON, errors too')
}

/** Runs `work` with each team of the configuration, and closes what that opened. */
export async function eachTeam<Result>(options: ConfigChoice, work: (team: Team) => Promise<Result>): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const team of await loadTeams(options)) {
    try {
      results.push(await work(team))
    } finally {
      await team.stop()
    }
  }
  return results
}
