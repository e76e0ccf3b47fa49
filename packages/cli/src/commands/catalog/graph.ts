import { writeFile } from 'node:fs/promises'
import { mermaid, picture, readCatalog, requireInstalled } from 'comity/admin'
import { Command } from 'commander'
import { type CommonOptions, declare, type ExitCode, withConfig } from '../../command.ts'
import { withAnyTeam } from '../../with-any-team.ts'

const HELP = `
On the left what each team owns and publishes, on the right what each team reads; a name's full text shows where the pointer rests on it.

Exit codes: 0 = drawn; 1 = error.

Example:
  $ comity catalog graph --out teams.svg
  $ comity catalog graph --mermaid`

interface GraphOptions extends CommonOptions {
  readonly mermaid?: boolean
  readonly out?: string
}

export function graphCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('graph')
    .description('the map as a picture')
    .option('--mermaid', 'as text for Mermaid, which many wikis draw; default: SVG')
    .option('-o, --out <file>', 'where to write it; default: print it')
    .addHelpText('after', HELP)
  return declare(withConfig(command), run, finish)
}

function run(options: GraphOptions): Promise<ExitCode> {
  return withAnyTeam(options, async (team) => {
    await requireInstalled(team.environment)
    const catalog = await readCatalog(team.declaration, team.environment)
    const drawn = options.mermaid ? mermaid(catalog) : picture(catalog)
    if (options.out === undefined) process.stdout.write(drawn)
    else {
      await writeFile(options.out, drawn)
      console.log(`Written: ${options.out}`)
    }
    return 0
  })
}
