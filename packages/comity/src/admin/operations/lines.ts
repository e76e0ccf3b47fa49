import { randomUUID } from 'node:crypto'
import type { JsonSchema, JsonValue } from '@comity/contract'
import type { JobKind } from '../jobs/job.ts'
import { estimateLines, type LineSelection, SELECTION } from '../jobs/selection.ts'
import type { Operation } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

/** Over the lines that a selection names: see {@link LineSelection}. */
export interface LinesArguments extends LineSelection {
  /** 1 → 10 → 100 → all: it stops when a stage fails. Or sizes of your own. Default: all at once. */
  readonly staged?: boolean | readonly number[]
  /** Lines a second. */
  readonly rate?: number
  /** Of a stage's lines, the share that may fail again. Default 0.1. */
  readonly stopAbove?: number
}

const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: {
    ...SELECTION,
    staged: { anyOf: [{ type: 'boolean' }, { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1 }] },
    rate: { type: 'number', exclusiveMinimum: 0 },
    stopAbove: { type: 'number', minimum: 0, maximum: 1 },
  },
  additionalProperties: false,
}

const INSERT = `
  insert into comity.jobs (id, kind, selection, author, reason, lines, messages, stages, rate, stop_above)
  values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::int, $7::int, $8::text, $9::text::float8, $10::text::float8)`

const STAGES = [1, 10, 100]

/** Begins a job over many lines, and answers its id with the estimate; the running team does it. */
function overLines(kind: JobKind): Operation<LinesArguments> {
  return {
    kind,
    arguments: ARGUMENTS,
    async run(sql, { declaration, author, reason }, { staged = false, rate, stopAbove = 0.1, ...selection }): Promise<JsonValue> {
      if (selection.subscription !== undefined) await requireSubscription(sql, declaration.team, selection.subscription)
      const { lines, messages } = await estimateLines(sql, selection)
      const stages = staged === true ? STAGES : staged === false ? [] : staged
      const id = randomUUID()
      const values = [JSON.stringify(selection), author, reason, lines, messages, JSON.stringify(stages), rate?.toString() ?? null]
      await sql.query(INSERT, [id, kind, ...values, String(stopAbove)])
      return { job: id, lines, messages }
    },
  }
}

export const retry: Operation<LinesArguments> = overLines('retry')
export const skip: Operation<LinesArguments> = overLines('skip')
export const discard: Operation<LinesArguments> = overLines('discard')
