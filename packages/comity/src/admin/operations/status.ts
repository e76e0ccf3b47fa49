import type { JsonValue } from '@comity/contract'
import { teamStatus } from '../status.ts'
import { NO_ARGUMENTS, type Operation } from './operation.ts'

/** What "comity status" shows, for an operating team that has no way into this database. */
export const status: Operation = {
  kind: 'status',
  arguments: NO_ARGUMENTS,
  async run(sql, { declaration, environment: { team, namespace, transport } }) {
    return (await teamStatus(declaration, { team, namespace, transport, database: sql })) as unknown as JsonValue
  },
}
