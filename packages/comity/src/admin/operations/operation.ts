import type { JsonSchema, JsonValue } from '@comity/contract'
import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import type { Queryable } from '../../postgres/database.ts'

/** One thing that an operator can have done to a team: by the command line, by a command of an operating team, or by the library itself. */
export interface Operation<Arguments = never> {
  /** What it is called in commands, on the command line and in `comity.operations`. */
  readonly kind: string
  /** JSON Schema of its arguments: an object. */
  readonly arguments: JsonSchema
  /**
   * The work, in the transaction that records it: everything through `sql` is done once, or not at all. What throws is rolled back and
   * recorded as its error. @returns what is recorded and answered, as JSON
   */
  run(sql: Queryable, context: OperationContext, args: Arguments): Promise<JsonValue>
}

export interface OperationContext {
  readonly declaration: Declaration
  /** Where it is done; its database only for what needs no part in the transaction. */
  readonly environment: Environment<unknown>
  readonly id: string
  readonly author: string
  readonly reason: string
}

/** Arguments of an operation that takes none. */
export const NO_ARGUMENTS: JsonSchema = { type: 'object', properties: {}, additionalProperties: false }
