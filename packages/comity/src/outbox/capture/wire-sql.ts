import type { JsonSchema } from '@comity/contract'
import { type FieldType, fieldType } from './field-type.ts'
import type { ColumnType } from './table-shape.ts'
import {
  ARRAY_BYTES,
  ARRAY_UNFIT,
  type Conversion,
  DEFINED_FORMATS,
  type FieldKindName,
  REPLICA_COLUMNS,
  type ReplicaColumnType,
  TYPE_TABLE,
  type TypeFamily,
} from './type-table.ts'

/** A conversion with its family's promise about equality. */
export interface Converted extends Conversion {
  readonly exact: boolean
}

/** How a column of this type becomes this field; undefined where the types tell that it can't. */
export function conversionOf(column: ColumnType, field: FieldType): Converted | undefined {
  if (column.element !== undefined) return arrayConversion(column.element, field)
  const family = familyOf(column)
  if (family === undefined) return undefined
  const kind = wanted(field, family)
  const conversion = kind === undefined ? undefined : family.as[kind]
  if (conversion === undefined) return undefined
  const format = kind === 'string' && DEFINED_FORMATS.has(field.format ?? '') ? (field.format as string) : undefined
  if (format !== undefined && family.formats?.includes(format) === false) return undefined
  return { ...conversion, exact: family.exact }
}

/** The type of a replica's column for this field: it gives the wire's text back byte for byte. */
export function replicaColumnType(schema: unknown, root?: JsonSchema): string {
  return replicaColumn(fieldType(schema, root)).type
}

/** SQL that makes a value for a replica's column of `type` from an SQL expression of the wire's text (`state ->> 'field'`). */
export function columnFromWire(type: string, wire: string): string {
  return byType(type).fromWire.replaceAll('{w}', () => wire)
}

/** SQL of the wire's text of a replica's column of `type`; see {@link SESSION_SETTINGS}. */
export function wireFromColumn(type: string, column: string): string {
  return byType(type).toWire.replaceAll('{c}', () => column)
}

/** SQL of the JSON text of a value that fits and is not null. */
export function jsonOf(conversion: Conversion, value: string): string {
  if (conversion.jsonText !== undefined) return fill(conversion.jsonText, value)
  const wire = fill(conversion.value, value)
  if (conversion.json === 'bare') return `(${wire})::text`
  return conversion.json === 'quoted' ? `'"' || ${bracketed(wire)} || '"'` : `to_json(${wire})::text`
}

/** SQL of the text of a key or a tenant: a string as it is, an integer in decimal. */
export function textOf(conversion: Conversion, value: string): string {
  const wire = fill(conversion.value, value)
  return conversion.json === 'bare' ? `(${wire})::text` : `(${wire})`
}

/** A function: in a plain replacement `$` means something. */
export function fill(template: string, value: string): string {
  return template.replaceAll('{v}', () => value)
}

function replicaColumn({ kind, format }: FieldType): ReplicaColumnType {
  if (kind === 'array' || kind === 'any') return REPLICA_COLUMNS.json
  if (kind === 'string' && (format === 'uuid' || format === 'date' || format === 'date-time')) return REPLICA_COLUMNS[format]
  return REPLICA_COLUMNS[kind]
}

function byType(type: string): ReplicaColumnType {
  return (
    Object.values<ReplicaColumnType>(REPLICA_COLUMNS).find((column) => column.type === type) ?? {
      type,
      fromWire: `({w})::${type}`,
      toWire: '({c})::text',
    }
  )
}

function familyOf(column: ColumnType): TypeFamily | undefined {
  if (column.kind === 'enum') return TYPE_TABLE.find(({ types }) => types.includes('enum'))
  return column.kind === 'base' ? TYPE_TABLE.find(({ types }) => types.includes(column.name)) : undefined
}

function wanted({ kind }: FieldType, family: TypeFamily): FieldKindName | undefined {
  if (kind === 'any') return family.natural
  if (kind === 'array') return family.natural === 'json' ? 'json' : undefined
  return kind
}

/** JSON of an array: at once where to_jsonb gives each element its form on the wire, else one by one. */
function arrayConversion(element: ColumnType, field: FieldType): Converted | undefined {
  if (field.kind !== 'array' && field.kind !== 'any') return undefined
  const conversion = conversionOf(element, field.items ?? { kind: 'any', nullable: true })
  if (conversion === undefined || element.element !== undefined || conversion.inArray === 'refused') return undefined
  const shared = { json: 'bare', bytes: ARRAY_BYTES, inArray: 'refused', exact: false } as const
  if (conversion.inArray === 'at once') {
    const fits =
      conversion.arrayFits === undefined
        ? {}
        : { fits: { condition: conversion.arrayFits, reason: conversion.fits?.reason ?? ARRAY_UNFIT } }
    return { ...shared, value: 'to_jsonb({v})', ...fits }
  }
  return {
    ...shared,
    value: `case when {v} is not null then (select coalesce(jsonb_agg(to_jsonb(${fill(conversion.value, 'u.element')}) order by u.position), '[]') from unnest({v}) with ordinality u(element, position)) end`,
    fits: { condition: 'coalesce(array_ndims({v}), 1) = 1', reason: ARRAY_UNFIT },
  }
}

function bracketed(sql: string): string {
  return sql.startsWith('case ') ? `(${sql})` : sql
}
