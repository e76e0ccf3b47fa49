import { NO_ARGUMENTS, type Operation } from './operation.ts'

/** Changes nothing: who answers is there, reads its commands and reaches its database. */
export const ping: Operation = {
  kind: 'ping',
  arguments: NO_ARGUMENTS,
  async run(sql) {
    const { rows } = await sql.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
    )
    return { at: rows[0]?.at ?? null }
  },
}
