import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { asyncApi, type Catalog, type CatalogFile, eventCatalog, jsonSchemas, readCatalog, requireInstalled } from 'comity/admin'
import { Command } from 'commander'
import { type CommonOptions, declare, type ExitCode, withConfig } from '../../command.ts'
import { ExportNotNamed } from '../../errors.ts'
import { withAnyTeam } from '../../with-any-team.ts'

const HELP = `
AsyncAPI 3.0 is one document. JSON Schemas describe each contract as a CloudEvent: one document by the contracts' names, or with --out a file each.
EventCatalog's folders (domains, services, events, entities, teams) need --out; files of contracts that are gone stay there.

Exit codes: 0 = written; 1 = error.

Example:
  $ comity catalog export --asyncapi --out asyncapi.json
  $ comity catalog export --json-schema --out schemas/
  $ comity catalog export --eventcatalog --out catalog/`

interface ExportOptions extends CommonOptions {
  readonly asyncapi?: boolean
  readonly jsonSchema?: boolean
  readonly eventcatalog?: boolean
  readonly out?: string
}

export function exportCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('export')
    .description('the map for other tools: AsyncAPI, JSON Schema, EventCatalog')
    .option('--asyncapi', 'as one AsyncAPI 3.0 document')
    .option('--json-schema', 'a JSON Schema of each contract as a CloudEvent')
    .option('--eventcatalog', "as EventCatalog's folders")
    .option('-o, --out <path>', 'the file, or the folder, to write; default: print it')
    .addHelpText('after', HELP)
  return declare(withConfig(command), run, finish)
}

function run(options: ExportOptions): Promise<ExitCode> {
  const forms = [options.asyncapi, options.jsonSchema, options.eventcatalog].filter(Boolean).length
  if (forms !== 1 || (options.eventcatalog && options.out === undefined)) throw new ExportNotNamed({})
  return withAnyTeam(options, async (team) => {
    await requireInstalled(team.environment)
    const { declaration, environment } = team
    const catalog = await readCatalog(declaration, environment)
    await write(options, catalog, environment.namespace)
    return 0
  })
}

async function write({ out, ...options }: ExportOptions, catalog: Catalog, namespace: string): Promise<void> {
  if (options.eventcatalog) return writeFolder(out as string, eventCatalog(catalog))
  if (options.jsonSchema && out !== undefined) {
    const files = Object.entries(jsonSchemas(catalog.contracts)).map(([name, schema]) => ({ path: `${name}.json`, text: json(schema) }))
    return writeFolder(out, files)
  }
  const text = json(options.asyncapi ? asyncApi(catalog, namespace) : jsonSchemas(catalog.contracts))
  if (out === undefined) process.stdout.write(text)
  else {
    await writeFile(out, text)
    console.log(`Written: ${out}`)
  }
}

/** Names of contracts and teams have no slashes, and come from other teams all the same: nothing is written outside of the folder. */
async function writeFolder(folder: string, files: readonly CatalogFile[]): Promise<void> {
  for (const { path, text } of files) {
    const file = join(folder, ...path.split('/').map((part) => (/^[a-z0-9][\w.-]*$/i.test(part) ? part : '_')))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  console.log(`Written: ${files.length} files in ${folder}`)
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
