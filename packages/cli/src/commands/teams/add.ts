import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { checkTeamName } from '@comity/contract'
import { team } from 'comity'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withJson } from '../../command.ts'
import { AudienceMissing, BadUsage, TeamFolderTaken } from '../../errors.ts'
import { type FoundEntity, findEntity } from '../../scaffold/find-entity.ts'
import { configText, readmeText } from '../../scaffold/team-files.ts'
import { withScript } from '../../scaffold/with-script.ts'

interface AddOptions extends CommonOptions {
  readonly keeps: string
  readonly fields?: string
  readonly in: string
}

const HELP = `
Writes a folder with a configuration that keeps a copy, and a README of three commands; in package.json, a script that runs it.
The contract is imported as the workspace's other configurations do. "comity dev" then runs the team with the others, and its
copy fills by itself: nobody else changes a line.

Exit codes: 0 = written; 1 = error, and nothing was written.

Example:
  $ comity teams add billing --keeps crm.customer --fields email,name
  $ comity dev`

export function addCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('add')
    .description('write a new team, with its first copy, that runs at once')
    .argument('<name>', 'of the team, e.g. billing')
    .requiredOption('--keeps <entity>', 'whose copy it keeps, e.g. crm.customer')
    .option('--fields <names>', 'the fields of it beside key and tenant, e.g. email,name')
    .addOption(new Option('--in <folder>', 'the workspace: a folder above its configurations').default('.'))
    .addHelpText('after', HELP)
  return declare(withJson(command), run, finish)
}

async function run(options: AddOptions, name: string): Promise<ExitCode> {
  checkTeamName(name)
  const root = resolve(options.in)
  const found = await findEntity(root, options.keeps)
  const { entity } = found
  const audience = audienceOf(name, found)
  const base = [...entity.keyFields, entity.tenantField]
  const granted = (audience === undefined ? entity.fields : (entity.audiences[audience] ?? [])).filter((field) => !base.includes(field))
  const fields = (options.fields ?? '').split(',').flatMap((field) => field.trim() || [])
  if (fields.length === 0) throw new BadUsage({ reason: `which fields it keeps is to be said: --fields ${granted.join(',')}` })
  const kept = { fields, ...(audience === undefined ? {} : { audience }) }
  // The library's own word on it, before anything is written.
  team(name).keeps(entity, kept)

  // Beside the others; where the only one stands in the workspace itself, in a folder there.
  const beside = dirname(found.config)
  const folder = join(beside === root ? root : dirname(beside), name)
  if (existsSync(folder)) throw new TeamFolderTaken({ folder: shown(folder) })
  const files: Record<string, string> = {
    [join(folder, 'comity.config.ts')]: configText({ name, folder, found, kept }),
    [join(folder, 'README.md')]: readmeText({ name, found, folder: shown(folder) }),
  }
  const manifest = join(root, 'package.json')
  const script = existsSync(manifest) ? withScript(await readFile(manifest, 'utf8'), name, shown(folder, root)) : undefined
  if (script !== undefined) files[manifest] = script
  await mkdir(folder)
  for (const [path, text] of Object.entries(files)) await writeFile(path, text)

  const written = Object.keys(files).map((path) => shown(path))
  if (options.json) console.log(JSON.stringify({ team: name, keeps: entity.name, ...kept, written }))
  else
    console.log(
      `${pc.bold(name)} keeps ${fields.join(', ')} of ${entity.name}. Written: ${written.join(', ')}\nRun it with all others: comity dev${options.in === '.' ? '' : ` ${options.in}`}`,
    )
  return 0
}

/** Undefined: the entity has one topic for everybody. Throws COMITY_AUDIENCE_MISSING. */
function audienceOf(name: string, { entity }: FoundEntity): string | undefined {
  const audiences = Object.keys(entity.audiences)
  if (audiences.length === 0) return undefined
  if (audiences.includes(name)) return name
  throw new AudienceMissing({ entity: entity.name, owner: entity.owner, audiences: audiences.join(', '), team: name })
}

/** From where the user stands. */
function shown(path: string, from = process.cwd()): string {
  const text = relative(from, path)
  return text.startsWith('..') ? path : text
}
