import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import { libraryVersion } from '../../foundation/index.ts'
import { assembleCatalog } from '../catalog/assemble.ts'
import type { Catalog, KnownTeam } from '../catalog/catalog.ts'
import { declarationReport, ownContracts } from '../declaration-report.ts'
import { isoTime } from './iso-time.ts'

const HEARD = `
  select c.team, c.declaration::text as declaration, c.library, c.state, ${isoTime('c.heard_at')} as "seenAt",
    extract(epoch from clock_timestamp() - c.heard_at)::float8 as age,
    (select coalesce(json_agg(json_build_object('name', k.name, 'hash', k.hash, 'description', k.description) order by k.name), '[]')
      from comity.catalog_contracts k where k.team = c.team)::text as contracts,
    (select coalesce(json_agg(json_build_object('subscription', f.subscription, 'field', f.field, 'column', f."column",
        'since', ${isoTime('f.since')}) order by f.subscription, f.field), '[]')
      from comity.catalog_fields f where f.team = c.team)::text as fields
  from comity.catalog c order by c.team`

const OWN = `
  select ${isoTime('max(p.beat_at)')} as "seenAt", extract(epoch from clock_timestamp() - max(p.beat_at))::float8 as age from comity.processes p`

interface HeardRow extends Pick<KnownTeam, 'team' | 'library' | 'state' | 'seenAt' | 'age'> {
  readonly declaration: string | null
  readonly contracts: string
  readonly fields: string
}

/** The map as this team's database has it; of this team itself, what its code declares now. */
export async function readCatalog(declaration: Declaration, { database }: Pick<Environment, 'database'>): Promise<Catalog> {
  const { team } = declaration
  const heard = (await database.query<HeardRow>(HEARD)).rows.map(
    ({ declaration: said, contracts, fields, age, ...row }): KnownTeam => ({
      ...row,
      declaration: said === null ? null : JSON.parse(said),
      age: age === null ? null : Math.max(0, age),
      contracts: JSON.parse(contracts),
      fields: JSON.parse(fields),
    }),
  )
  const { rows } = await database.query<Pick<KnownTeam, 'seenAt' | 'age'>>(OWN)
  const before = heard.find((one) => one.team === team)
  const own: KnownTeam = {
    ...{ team, declaration: declarationReport(declaration), contracts: ownContracts(declaration), library: libraryVersion() },
    ...{ state: before?.state ?? null, fields: before?.fields ?? [] },
    ...{ seenAt: rows[0]?.seenAt ?? before?.seenAt ?? null, age: rows[0]?.age ?? before?.age ?? null },
  }
  return assembleCatalog(team, [...heard.filter((one) => one.team !== team), own])
}
