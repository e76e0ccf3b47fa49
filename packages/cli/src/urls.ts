import type { Team } from 'comity'

/** Name of the database that a team's configuration names by a URL; undefined where it has a handle of its own library. */
export function databaseName(team: Team): string | undefined {
  const given = team.options.database ?? process.env.COMITY_DATABASE_URL
  return typeof given === 'string' ? nameIn(given) : undefined
}

/** The bus, where it is a Postgres that is named by a URL. */
export function transportUrl(team: Team): { readonly url: string; readonly database: string } | undefined {
  const given = team.options.transport ?? process.env.COMITY_TRANSPORT
  if (typeof given !== 'string' || !/^postgres(ql)?:/i.test(given)) return undefined
  return { url: given, database: nameIn(given) ?? 'postgres' }
}

function nameIn(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  return decodeURIComponent(new URL(url).pathname.slice(1)) || undefined
}
