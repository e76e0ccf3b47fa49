import type { Declaration } from '../catalog/declaration.ts'
import { captureFingerprint, captureProblems, captureSql, expressionsOf, inspectTable, planCapture } from '../outbox/capture/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { TakeOverRefused } from './errors.ts'
import { refusalOf } from './refusal-of.ts'
import type { Step } from './step.ts'
import { takeOverSql } from './take-over.ts'

/* A table that was renamed may have left its name to another one, which looks the same. */
const INSTALLED = `
  select p.topic, p.fingerprint from jsonb_to_recordset($1::text::jsonb) d(topic text, declared text) join comity.captures p using (topic)
  where p.released_at is null and p.source = to_regclass(d.declared)`

/** The capture of each owned table, where it is not installed as this code wants it, or has been taken apart since. Refuses what the types of the table tell. */
export async function captureSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  const { rows } = await database.query<{ topic: string; fingerprint: string }>(INSTALLED, [
    JSON.stringify(declaration.owns.flatMap(({ entity, table }) => (table === undefined ? [] : [{ topic: entity.name, declared: table }]))),
  ])
  const installed = new Map(rows.map(({ topic, fingerprint }) => [topic, fingerprint]))
  // What was recorded says nothing of a table that a tool has dropped and made again, or of a trigger that somebody dropped.
  const problems = await captureProblems(database)
  const broken = new Set(
    problems.filter(({ kind, command }) => kind === 'table-missing' || command === 'comity migrate').map(({ topic }) => topic),
  )
  const steps: Step[] = []
  for (const owned of declaration.owns) {
    const { entity, table, columns } = owned
    if (table === undefined) continue
    const shape = await inspectTable(database, table, expressionsOf({ columns }))
    // The whole state is captured; the relay sends each audience its part.
    const plan = planCapture({ ...entity, audiences: {} }, shape, { columns })
    if (!broken.has(plan.topic) && installed.get(plan.topic) === captureFingerprint(plan)) continue
    const taking = await takeOverSql(database, owned)
    const title = `${taking.length > 0 ? `take ${entity.name} over: ` : ''}capture ${table} as ${entity.name}`
    const refused = (error: unknown): Error | undefined => {
      const typed = refusalOf(
        error,
        'CM016',
        (problem, remedy) => new TakeOverRefused({ entity: entity.name, problem, remedy }, { cause: error }),
      )
      return typed === error ? undefined : (typed as Error)
    }
    steps.push({ title, sql: [...taking, ...captureSql(plan)], explain: refused })
  }
  return steps
}
