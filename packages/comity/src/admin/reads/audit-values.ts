import { randomBytes } from 'node:crypto'
import { auditedFields, shapeOf } from '../../audit/audited-copy.ts'
import { type DifferingValues, differingValues } from '../../audit/differing-values.ts'
import { questions } from '../../audit/questions.ts'
import { tableOf } from '../../audit/row-source.ts'
import { copyReader } from '../../backfill/copy-reader.ts'
import { type Declaration, inNamespace } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import { systemClock } from '../../foundation/index.ts'
import type { Database } from '../../postgres/database.ts'
import { CopyNotHere, ValuesNotAllowed } from '../errors.ts'
import { auditFindings, auditOf } from './audits.ts'

/* The copy itself, and the owner's answer while it is on its way to whoever asked. */
const MAY = `
  select current_user::text as role, has_table_privilege($1::text, 'select') as copy,
    has_table_privilege('comity.audit_answers', 'select') and has_table_privilege('comity.audit_answers', 'delete') as answers`

/** Classes that both teams know a state of. */
const SHOWN: readonly string[] = ['missing', 'extra', 'stale', 'ahead', 'different', 'moving']

/**
 * The values of the keys that an audit names, here and at the owner, as they are now: nothing but what is still different. The rights of the role that
 * asks decide; the owner answers through a running process of the team. Nothing of it is kept. Throws COMITY_VALUES_NOT_ALLOWED, COMITY_AUDIT_UNKNOWN,
 * COMITY_AUDIT_UNANSWERED and COMITY_AUDIT_REFUSED.
 */
export async function auditValues(
  environment: Environment,
  declaration: Declaration,
  id: string,
  {
    limit = 20,
    patience = 20_000,
  }: { /** Keys, at most 500. */ readonly limit?: number /** Milliseconds. */; readonly patience?: number } = {},
): Promise<readonly DifferingValues[]> {
  const { transport, namespace, team } = environment
  const database = environment.database as Database
  const { replica } = await auditOf(environment, id)
  const kept = declaration.keeps.find(({ name }) => name === replica)
  if (kept === undefined) throw new CopyNotHere({ team, replica, copies: declaration.keeps.map(({ name }) => name).join(', ') || 'none' })
  const shape = await shapeOf(database, replica)
  const table = tableOf(shape)
  const { rows } = await database.query<{ role: string; copy: boolean; answers: boolean }>(MAY, [table])
  if (rows[0]?.copy !== true || !rows[0].answers)
    throw new ValuesNotAllowed({ role: rows[0]?.role ?? 'of this connection', replica, table })
  const { items } = await auditFindings(environment, id, { limit: Math.min(limit, 500) })
  const keys = items.filter((finding) => SHOWN.includes(finding.class)).map(({ key }) => key)
  if (keys.length === 0) return []
  const { reader, versions } = copyReader(kept, declaration.lifts)
  const asking = questions({
    ...{ database, replica, owner: kept.entity.owner, patience, clock: systemClock, signal: new AbortController().signal },
    speaker: { team, transport, topicNamed: (name) => inNamespace(namespace, name) },
    audit: {
      ...{ audit: id, entity: kept.entity.name, fields: auditedFields(shape, 'full'), secret: randomBytes(32).toString('hex') },
      ...(kept.audience === undefined ? {} : { audience: kept.audience }),
      ...(shape.subset === undefined ? {} : { subset: shape.subset }),
      ...(versions === undefined ? {} : { versions }),
    },
    onWaiting: async () => undefined,
  })
  return (await differingValues(database, shape, reader, asking, keys)).filter(
    ({ fields, here, owner }) => fields.length > 0 || here !== owner,
  )
}
