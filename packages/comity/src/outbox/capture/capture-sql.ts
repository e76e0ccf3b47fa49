import { createHash } from 'node:crypto'
import { quoteLiteral } from '../../postgres/quote.ts'
import { captureNames } from './capture-names.ts'
import type { CapturePlan } from './plan-capture.ts'
import { contractView, rowFunctions, stateView } from './state-sql.ts'
import { triggerFunction, triggers } from './trigger-sql.ts'

/**
 * The DDL that captures a table, or captures it anew: to be run in one transaction (`runWithLockTimeout`), by the owner of
 * the table and of the schema `comity`.
 */
export function captureSql(plan: CapturePlan): string[] {
  const statements = creation(plan)
  return [...releaseSql(plan.topic), ...statements, record(plan, fingerprintOf(statements))]
}

/** Is the plan what the database has? Then there is nothing to run. */
export function captureFingerprint(plan: CapturePlan): string {
  return fingerprintOf(creation(plan))
}

/** Takes a capture's triggers and views away (`comity release <entity>`); the record of it stays, and says since when. */
export function releaseSql(topic: string): string[] {
  return [`select comity.release_capture(${quoteLiteral(topic)})::text`]
}

/** Takes everything of a capture out, its record too. */
export function dropCaptureSql(topic: string): string[] {
  return [...releaseSql(topic), `delete from comity.captures where topic = ${quoteLiteral(topic)}`]
}

function creation(plan: CapturePlan): string[] {
  const { prefix } = captureNames(plan.topic)
  return [
    ...rowFunctions(plan),
    contractView(plan),
    stateView(plan),
    triggerFunction(plan),
    `do ${quoteLiteral(`declare f regprocedure;
begin
  for f in select oid from pg_proc where pronamespace = 'comity'::regnamespace and starts_with(proname, ${quoteLiteral(`${prefix} `)}) loop
    execute format('revoke all on function %s from public', f);
  end loop;
end`)}`,
    ...triggers(plan),
  ]
}

function record(plan: CapturePlan, fingerprint: string): string {
  const fields = plan.fields.map(({ field, source }) =>
    'column' in source
      ? { field, column: source.column.name, type: source.column.type.display }
      : { field, sql: source.sql, type: source.type.display },
  )
  const partitions = plan.partitions.map(({ table }) => `${quoteLiteral(table)}`).join(', ')
  const values = [
    quoteLiteral(plan.topic),
    quoteLiteral(plan.entity),
    `${quoteLiteral(plan.table)}::regclass`,
    quoteLiteral(captureNames(plan.topic).prefix),
    `${quoteLiteral(JSON.stringify(fields))}::text::jsonb`,
    `array[${partitions}]::text[]`,
    quoteLiteral(fingerprint),
  ]
  return `insert into comity.captures as c (topic, entity, source, prefix, fields, partitions, fingerprint) values (${values.join(', ')})
on conflict (topic) do update set entity = excluded.entity, source = excluded.source, prefix = excluded.prefix, fields = excluded.fields,
  partitions = excluded.partitions, fingerprint = excluded.fingerprint, captured_at = now(), released_at = null,
  unannounced_since = case when c.unannounced_since < now() then c.unannounced_since end`
}

function fingerprintOf(statements: readonly string[]): string {
  return createHash('sha256').update(statements.join('\n')).digest('hex')
}
