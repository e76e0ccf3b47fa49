import { connect, quoteIdentifier, sqlStateOf } from '../postgres/index.ts'
import { UnsupportedPostgres } from './errors.ts'

/** A Postgres that is there already, for development and tests: databases are made on it as they are asked for, and stay. */
export interface GivenServer {
  /** e.g. `17.2`. */
  readonly version: string
  /** Makes the database if it is not there, and answers its URL. The role needs CREATEDB. */
  createDatabase(name: string): Promise<string>
}

/** @param url of any database of the server. Throws COMITY_UNSUPPORTED_POSTGRES, or what keeps it from being reached. */
export async function givenServer(url: string): Promise<GivenServer> {
  const [row] = await once<{ shown: string; number: number }>(
    url,
    `select current_setting('server_version') as shown, current_setting('server_version_num')::int as number`,
  )
  if (row === undefined || row.number < 150_000) throw new UnsupportedPostgres({ version: row?.shown ?? 'unknown' })
  return {
    version: row.shown,
    async createDatabase(name) {
      await once(url, `create database ${quoteIdentifier(name)}`).catch((error: unknown) => {
        // duplicate_database, also of another process at the same moment (unique_violation)
        if (!['42P04', '23505'].includes(sqlStateOf(error) ?? '')) throw error
      })
      const own = new URL(url)
      own.pathname = `/${encodeURIComponent(name)}`
      return own.href
    },
  }
}

async function once<Row>(url: string, text: string): Promise<readonly Row[]> {
  const database = connect(url, { max: 1 })
  try {
    return (await database.query<Row>(text)).rows
  } finally {
    await database.close()
  }
}
