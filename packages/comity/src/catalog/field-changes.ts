import type { ContractDescription, JsonSchema } from '@comity/contract'
import { partialSchema, refusalsOf } from '../schema/index.ts'

/** What becomes of one top-level field of a contract. */
export interface FieldChange {
  /** Empty = the conditions over the whole; of a request also `rejects.<reason>`, what is said with a rejection. */
  readonly field: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Values that were not sent before may be sent, as far as can be told. */
  readonly wider: boolean
  /** Values that were sent before are not sent any more, as far as can be told. */
  readonly narrower: boolean
}

export function fieldChanges(before: ContractDescription, after: ContractDescription): readonly FieldChange[] {
  const fields = [...new Set([...before.fields, ...after.fields])]
  const changes = fields.flatMap((field): readonly FieldChange[] => {
    if (!before.fields.includes(field)) return [{ field, change: 'added', wider: true, narrower: false }]
    if (!after.fields.includes(field)) return [{ field, change: 'removed', wider: false, narrower: true }]
    const [was, is] = [partialSchema(before, [field]), partialSchema(after, [field])]
    const [wider, narrower] = [refusalsOf(is, was).length > 0, refusalsOf(was, is).length > 0]
    return wider || narrower ? [{ field, change: 'changed', wider, narrower }] : []
  })
  return [...changes, ...rejectionChanges(before.rejects ?? {}, after.rejects ?? {})]
}

/** How a reason of a rejection is named beside the fields of the data: no field has a full stop in it. */
export function rejectionField(reason: string): string {
  return `rejects.${reason}`
}

type Rejects = NonNullable<ContractDescription['rejects']>

function rejectionChanges(before: Rejects, after: Rejects): readonly FieldChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((reason): readonly FieldChange[] => {
    const field = rejectionField(reason)
    const [was, is] = [before[reason], after[reason]]
    if (was === undefined) return [{ field, change: 'added', wider: true, narrower: false }]
    if (is === undefined) return [{ field, change: 'removed', wider: false, narrower: true }]
    const refuses = (said: JsonSchema | null, read: JsonSchema | null): boolean =>
      said === null || read === null ? said !== read : refusalsOf(said, read).length > 0
    const [wider, narrower] = [refuses(is, was), refuses(was, is)]
    return wider || narrower ? [{ field, change: 'changed', wider, narrower }] : []
  })
}
