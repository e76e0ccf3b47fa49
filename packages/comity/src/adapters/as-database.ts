import type { Duration } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import { NotADatabase } from '../postgres/errors.ts'
import type { PgPool } from '../postgres/pg-handle.ts'
import { connect } from '../postgres/pool.ts'
import { fromPg } from './pg.ts'

/** A URL opens a pool of our own (`tx` is a Queryable), a pg.Pool is used as it is (`tx` is a PoolClient), an adapter's value passes. */
export type DatabaseOption<Tx> = string | PgPool | Database<Tx>

/** Connects to nothing yet. Throws COMITY_NOT_A_DATABASE. */
export function asDatabase<Tx>(
  given: DatabaseOption<Tx>,
  options: { readonly max?: number; readonly sessionTimeout?: Duration } = {},
): Database<Tx> {
  if (typeof given === 'string') {
    if (/^postgres(ql)?:\/\//.test(given)) return connect(given, options) as Database<unknown> as Database<Tx>
  } else if (typeof given === 'object' && given !== null) {
    if ('totalCount' in given)
      return fromPg(
        given,
        options.sessionTimeout === undefined ? {} : { sessionTimeout: options.sessionTimeout },
      ) as Database<unknown> as Database<Tx>
    if ('transaction' in given && 'join' in given) return given
  }
  throw new NotADatabase({ given: typeof given === 'string' ? 'a text that does not begin with postgres://' : `a ${typeof given}` })
}
