import { quoteIdentifier } from '../../postgres/index.ts'
import { runnerRights } from '../roles.ts'
import { type Check, error, ok, warning } from './check.ts'

const ROLE = `
  select current_user::text as role, current_setting('is_superuser') = 'on' as superuser,
    pg_has_role(current_user, (select nspowner from pg_namespace where nspname = 'comity'), 'usage') as owner`

/* One row for each right; what does not exist (yet) is the migrations' affair. */
const RIGHTS = `
  select g.n::int as n from json_array_elements($1::text::json) with ordinality a(value, n)
  cross join lateral (select a.n, a.value ->> 'object' as object, a.value ->> 'right' as name, a.value ->> 'column' as col, a.value ->> 'kind' as kind) g
  where case g.kind
    when 'function' then to_regprocedure(g.object) is not null and not has_function_privilege(to_regprocedure(g.object)::oid, 'execute')
    when 'sequence' then to_regclass(g.object) is not null and not has_sequence_privilege(to_regclass(g.object)::oid, g.name)
    when 'column' then exists (select from pg_attribute a where a.attrelid = to_regclass(g.object)::oid and a.attname = g.col)
      and not has_column_privilege(to_regclass(g.object)::oid, g.col, g.name)
    else to_regclass(g.object) is not null and not has_table_privilege(to_regclass(g.object)::oid, g.name) end
  order by g.n`

/** Whether the connected role may do what `comity run` does, and not everything. */
export const role: Check = {
  name: 'role',
  async look(declaration, { database, autoMigrate }) {
    const row = (await database.query<{ role: string; superuser: boolean; owner: boolean | null }>(ROLE)).rows[0]
    const name = row?.role ?? ''
    if (row?.superuser)
      return autoMigrate
        ? [ok(`${name} is a superuser, as development may have it`)]
        : [warning(`${name} is a superuser: a mistake in a handler can do anything`, 'run as a role that "comity migrate --roles" prints')]
    if (row?.owner) return [ok(`${name} owns the schema comity`)]
    const rights = runnerRights(declaration)
    const { rows } = await database.query<{ n: number }>(RIGHTS, [JSON.stringify(rights)])
    if (rows.length === 0) return [ok(`${name} has the rights of a runner`)]
    const grants = rows.map(({ n }) => {
      const { kind, object, right, column } = rights[n - 1] as (typeof rights)[number]
      const on = kind === 'function' || kind === 'sequence' ? `${kind} ${object}` : object
      return `grant ${right}${column === undefined ? '' : ` (${quoteIdentifier(column)})`} on ${on} to ${quoteIdentifier(name)};`
    })
    return [error(`${name} lacks ${grants.length} rights of a runner`, grants.join('\n'))]
  },
}
