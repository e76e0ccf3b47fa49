import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Team } from 'comity'
import { createJiti } from 'jiti'
import { ConfigFailed, ConfigNotFound, ConfigWithoutTeam, TeamNotInConfig } from './errors.ts'

export const CONFIG_NAMES = ['comity.config.ts', 'comity.config.mts', 'comity.config.js', 'comity.config.mjs'] as const

export interface ConfigChoice {
  /** Path of the file, or of its folder. Default: the working folder. */
  readonly config?: string
  /** Only this team of it. */
  readonly team?: string
}

/** The teams of a configuration file: its default export (a team or an array of teams), then those it exports by name. */
export async function loadTeams(choice: ConfigChoice): Promise<readonly Team[]> {
  const file = findConfig(resolve(choice.config ?? '.'))
  const exported = await load(file)
  const teams = [...new Set(Object.values(exported).flat().filter(isTeam))]
  if (teams.length === 0) throw new ConfigWithoutTeam({ file: shown(file), exports: Object.keys(exported).join(', ') || 'none' })
  if (choice.team === undefined) return teams
  const chosen = teams.filter(({ name }) => name === choice.team)
  if (chosen.length === 0) throw new TeamNotInConfig({ team: choice.team, teams: teams.map(({ name }) => name).join(', ') })
  return chosen
}

function findConfig(path: string): string {
  const candidates = [path, ...CONFIG_NAMES.map((name) => join(path, name))]
  const found = candidates.find((candidate) => existsSync(candidate) && /\.[cm]?[jt]s$/.test(candidate))
  if (found === undefined) throw new ConfigNotFound({ where: shown(path) })
  return found
}

/** Node itself where it can (it shares our copy of the library), jiti where it can't: TypeScript on Node 20. */
async function load(file: string): Promise<Record<string, unknown>> {
  try {
    if (/\.m?js$/.test(file)) return await import(pathToFileURL(file).href)
    return await createJiti(import.meta.url, { tryNative: true, interopDefault: false }).import<Record<string, unknown>>(file)
  } catch (error) {
    // What the library refuses (an unknown option, a wrong contract) says best itself what is wrong.
    if (String((error as { code?: unknown })?.code).startsWith('COMITY_')) throw error
    throw new ConfigFailed({ file: shown(file), reason: error instanceof Error ? error.message : String(error) }, { cause: error })
  }
}

/** What a configuration imports from there. */
export async function importFrom(config: string, specifier: string): Promise<Record<string, unknown>> {
  try {
    return await createJiti(config, { tryNative: true, interopDefault: false }).import<Record<string, unknown>>(specifier)
  } catch (error) {
    throw new ConfigFailed({ file: specifier, reason: error instanceof Error ? error.message : String(error) }, { cause: error })
  }
}

function isTeam(value: unknown): value is Team {
  if (typeof value !== 'object' || value === null) return false
  const { name, declaration, start, migrate } = value as Partial<Team>
  return typeof name === 'string' && typeof declaration === 'object' && typeof start === 'function' && typeof migrate === 'function'
}

/** From where the user stands. */
function shown(path: string): string {
  const from = relative(process.cwd(), path)
  return from === '' ? 'this folder' : from.startsWith('..') ? path : from
}
