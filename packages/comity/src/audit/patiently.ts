import type { Database, Queryable } from '../postgres/database.ts'

/**
 * A transaction whose statements may take minutes, where sessions are cut off after seconds: a digest of a hundred million rows is one statement.
 * What is slow here holds no lock that anybody waits for.
 */
export function patiently<Result>(database: Database, work: (sql: Queryable) => Promise<Result>): Promise<Result> {
  return database.transaction(async (tx) => {
    const sql = database.join(tx)
    await sql.query(`select set_config('statement_timeout', '600000', true) as setting`)
    return work(sql)
  })
}
