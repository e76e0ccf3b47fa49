import { type Check, error, type Finding, ok, warning } from './check.ts'

const SERVER = `
  select current_setting('server_version') as version, current_setting('server_version_num')::int as number, pg_is_in_recovery() as recovering,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit, current_setting('default_transaction_read_only') as read_only,
    current_setting('statement_timeout') as statement_timeout,
    current_setting('idle_in_transaction_session_timeout') as idle_timeout,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections,
    (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
    (select rolconnlimit from pg_roles where rolname = current_user) as role_limit, current_user::text as role`

interface Server {
  readonly version: string
  readonly number: number
  readonly recovering: boolean
  readonly fsync: string
  readonly full_page_writes: string
  readonly synchronous_commit: string
  readonly read_only: string
  readonly statement_timeout: string
  readonly idle_timeout: string
  readonly connections: number
  readonly used: number
  readonly role_limit: number
  readonly role: string
}

/** A process of a team with the default concurrency holds five, and three to a bus on the same server. */
const CONNECTIONS_OF_A_PROCESS = 8

/** The server, its settings as this team's connections have them, and its room. */
export const server: Check = {
  name: 'server',
  async look(_, { database, allowUnsafe }) {
    const row = (await database.query<Server>(SERVER)).rows[0] as Server
    const findings: Finding[] = []
    if (row.number < 150_000) findings.push(error(`Postgres ${row.version} is older than 15`, 'use Postgres 15 or later'))
    if (row.recovering) findings.push(error('this server is in recovery: it is a read replica', 'give the URL of the primary'))
    if (row.read_only === 'on')
      findings.push(
        error(
          'default_transaction_read_only is on',
          `alter role ${row.role} reset default_transaction_read_only; or give the URL of the primary`,
        ),
      )
    for (const setting of ['fsync', 'full_page_writes'] as const)
      if (row[setting] === 'off') {
        const found = `${setting} is off: a crash loses changes that were announced`
        findings.push(allowUnsafe ? warning(found, 'turn it on outside of tests') : error(found, 'turn it on'))
      }
    if (row.synchronous_commit === 'off')
      findings.push(warning('synchronous_commit is off', 'turn it on; until then Comity turns it on for each transaction that publishes'))
    for (const [setting, value] of [
      ['statement_timeout', row.statement_timeout],
      ['idle_in_transaction_session_timeout', row.idle_timeout],
    ] as const)
      if (value === '0')
        findings.push(
          warning(
            `connections of this team have no ${setting}: a stopped process holds its locks without end`,
            `alter role ${row.role} set ${setting} = '15s'`,
          ),
        )
    findings.push(...roomOf(row))
    return findings.some(({ level }) => level !== 'ok')
      ? findings
      : [ok(`Postgres ${row.version}, settings as they should be`), ...findings]
  },
}

function roomOf({ connections, used, role_limit, role }: Server): readonly Finding[] {
  const free = connections - used
  const limited = role_limit >= 0 && role_limit < CONNECTIONS_OF_A_PROCESS
  return [
    free < CONNECTIONS_OF_A_PROCESS
      ? warning(
          `${free} of ${connections} connections are free, and one more process takes ${CONNECTIONS_OF_A_PROCESS}`,
          'raise max_connections, or set a lower "concurrency"',
        )
      : ok(`${free} of ${connections} connections are free`),
    ...(limited
      ? [
          warning(
            `${role} may open ${role_limit} connections, and a process takes ${CONNECTIONS_OF_A_PROCESS}`,
            `alter role ${role} connection limit -1`,
          ),
        ]
      : []),
  ]
}
