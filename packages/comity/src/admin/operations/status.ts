import type { JsonValue } from '@comity/contract'
import type { Queryable } from '../../postgres/database.ts'
import { teamStatus } from '../status.ts'
import { NO_ARGUMENTS, type Operation } from './operation.ts'

/** What "comity status" shows, for an operating team that has no way into this database. */
export const status: Operation = {
  kind: 'status',
  arguments: NO_ARGUMENTS,
  async run(sql, { declaration, environment: { team, namespace, transport } }) {
    return (await teamStatus(declaration, { team, namespace, transport, database: inTurn(sql) })) as unknown as JsonValue
  },
}

/** One statement after the other: of several that are under way in one transaction, the one that failed is not the first to say so. */
function inTurn(sql: Queryable): Queryable {
  let last: Promise<unknown> = Promise.resolve()
  return {
    query<Row>(text: string, values?: readonly unknown[]) {
      const next = last.then(() => sql.query<Row>(text, values))
      last = next
      return next
    },
  }
}
