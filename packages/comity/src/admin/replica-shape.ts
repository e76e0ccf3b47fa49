import type { Kept } from '../catalog/declaration.ts'
import { replicaColumnType, snakeCase } from '../outbox/capture/index.ts'
import { ReplicaColumnsCollide } from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'

/** Every table of Postgres has them. */
const SYSTEM_COLUMNS = ['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']

/** The table that a declaration asks for: key, tenant, declared fields; snake_case unless named otherwise. */
export function replicaShape(kept: Kept): ReplicaShape {
  const { entity } = kept
  const fields = [...new Set([...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField]), ...kept.fields])]
  const properties = (entity.schema as { properties?: Readonly<Record<string, object>> }).properties ?? {}
  const columns = fields.map((field): ReplicaColumn => {
    const key = entity.keyFields.indexOf(field)
    return {
      field,
      column: (Object.hasOwn(kept.columns, field) ? kept.columns[field] : undefined) ?? snakeCase(field),
      type: replicaColumnType(properties[field] ?? {}, entity.schema),
      ...(key < 0 ? {} : { key }),
    }
  })
  const seen = new Set<string>(['comity_version', ...SYSTEM_COLUMNS])
  for (const { column } of columns) {
    if (seen.has(column)) throw new ReplicaColumnsCollide({ replica: kept.name, column })
    seen.add(column)
  }
  return { name: kept.name, schema: kept.schema, table: kept.table, columns }
}
