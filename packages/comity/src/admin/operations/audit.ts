import type { JsonSchema } from '@comity/contract'
import { arrayLiteral } from '../../postgres/array-literal.ts'
import { CopyNotHere } from '../errors.ts'
import type { Operation } from './operation.ts'

export interface AuditArguments {
  /** Which copy, `<team>.<name>`; absent = each that the team keeps. */
  readonly replica?: string
  /** Have what has drifted said anew by its owner, and look at it again. Default false. */
  readonly repair?: boolean
  /** `keys`: only which rows there are, at less than half the cost. Default `full`. */
  readonly extent?: 'full' | 'keys'
}
/** What was begun; the running team does it. */
export interface AuditBegun {
  readonly audits: readonly { readonly id: string; readonly replica: string }[]
}
const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: { replica: { type: 'string', minLength: 1 }, repair: { type: 'boolean' }, extent: { enum: ['full', 'keys'] } },
  additionalProperties: false,
}

const BEGIN = `
  insert into comity.audits (replica, extent, repair, cause, author, reason)
  select r.name, $2::text, $3::text::boolean, 'operator', $4::text, $5::text from comity.replicas r
  where r.name = any ($1::text::text[]) order by r.name returning id::text as id, replica`

/** Has copies compared with their owners. Throws COMITY_COPY_NOT_HERE. */
export const audit: Operation<AuditArguments> = {
  kind: 'audit',
  arguments: ARGUMENTS,
  async run(sql, { declaration, author, reason }, { replica, repair = false, extent = 'full' }) {
    const kept = declaration.keeps.map(({ name }) => name)
    const wanted = kept.filter((name) => replica === undefined || name === replica)
    const values = [arrayLiteral(wanted), extent, String(repair), author, reason]
    const { rows } = await sql.query<{ id: string; replica: string }>(BEGIN, values)
    if (rows.length > 0) return { audits: rows } as never
    throw new CopyNotHere({ team: declaration.team, replica: replica ?? 'of anything', copies: kept.join(', ') || 'none' })
  },
}
