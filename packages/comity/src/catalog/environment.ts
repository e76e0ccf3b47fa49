import type { Logger } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Transport } from '../transport/index.ts'

/** Where a team's declaration lives: its database, its broker, its namespace. */
export interface Environment<Tx = unknown> {
  readonly team: string
  readonly namespace: string
  readonly database: Database<Tx>
  readonly transport: Transport
  readonly allowUnsafe: boolean
  /** Whether operators may edit messages that wait. */
  readonly allowEdit: boolean
  /** A start migrates first: it runs as the owner of the schema. */
  readonly autoMigrate: boolean
  readonly logger: Logger
}
