import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Entity } from '@comity/contract'
import type { Team } from 'comity'
import { findConfigs } from '../dev/find-configs.ts'
import { ConfigNotFound, EntityNotInWorkspace } from '../errors.ts'
import { importFrom, loadTeams } from '../load-config.ts'

/** An entity, and how a configuration of the workspace comes by it. */
export interface FoundEntity {
  readonly entity: Entity
  /** The configuration that names it: its owner's, if that is there. */
  readonly config: string
  /** What is imported, and from where: an absolute path, or the name of a package. */
  readonly exported: string
  readonly from: string
  /** The environment's variable that the configuration takes its transport from. */
  readonly transportVariable: string | undefined
}

/** Throws COMITY_CONFIG_NOT_FOUND, COMITY_ENTITY_NOT_IN_WORKSPACE, and what a configuration fails with. */
export async function findEntity(root: string, name: string): Promise<FoundEntity> {
  const configs = await findConfigs(root)
  if (configs.length === 0) throw new ConfigNotFound({ where: `${root} or below` })
  const known = new Map<string, { readonly entity: Entity; readonly config: string }>()
  for (const config of configs) {
    for (const team of await loadTeams({ config })) {
      for (const { entity, owned } of entitiesOf(team)) if (owned || !known.has(entity.name)) known.set(entity.name, { entity, config })
      await team.stop()
    }
  }
  const found = known.get(name)
  if (found === undefined) throw new EntityNotInWorkspace({ entity: name, entities: [...known.keys()].join(', ') || 'none' })
  const text = await readFile(found.config, 'utf8')
  for (const [, specifier = ''] of text.matchAll(/\bfrom\s+['"]([^'"]+)['"]/g)) {
    const exports = await importFrom(found.config, specifier)
    const exported = Object.entries(exports).find(([, value]) => isEntity(value, name))?.[0]
    if (exported === undefined) continue
    const from = specifier.startsWith('.') ? resolve(dirname(found.config), specifier) : specifier
    const transportVariable = /\btransport:\s*process\.env\.(\w+)/.exec(text)?.[1]
    return { ...found, exported, from, transportVariable }
  }
  throw new EntityNotInWorkspace({ entity: name, entities: `${name} is written into ${found.config} itself, and can't be imported` })
}

function entitiesOf({ declaration }: Team): readonly { readonly entity: Entity; readonly owned: boolean }[] {
  const { owns, keeps, handles } = declaration
  return [
    ...owns.map(({ entity }) => ({ entity, owned: true })),
    ...keeps.map(({ entity }) => ({ entity, owned: false })),
    ...handles.flatMap(({ contract }) => (contract.contractKind === 'entity' ? [{ entity: contract, owned: false }] : [])),
  ]
}

function isEntity(value: unknown, name: string): boolean {
  const { contractKind, name: own } = (value ?? {}) as Partial<Entity>
  return contractKind === 'entity' && own === name
}
