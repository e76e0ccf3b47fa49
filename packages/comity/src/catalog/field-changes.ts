import type { ContractDescription } from '@comity/contract'
import { partialSchema, refusalsOf } from '../schema/index.ts'

/** What becomes of one top-level field of a contract. */
export interface FieldChange {
  /** Empty = the conditions over the whole. */
  readonly field: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Values that were not sent before may be sent, as far as can be told. */
  readonly wider: boolean
  /** Values that were sent before are not sent any more, as far as can be told. */
  readonly narrower: boolean
}

export function fieldChanges(before: ContractDescription, after: ContractDescription): readonly FieldChange[] {
  const fields = [...new Set([...before.fields, ...after.fields])]
  return fields.flatMap((field): readonly FieldChange[] => {
    if (!before.fields.includes(field)) return [{ field, change: 'added', wider: true, narrower: false }]
    if (!after.fields.includes(field)) return [{ field, change: 'removed', wider: false, narrower: true }]
    const [was, is] = [partialSchema(before, [field]), partialSchema(after, [field])]
    const [wider, narrower] = [refusalsOf(is, was).length > 0, refusalsOf(was, is).length > 0]
    return wider || narrower ? [{ field, change: 'changed', wider, narrower }] : []
  })
}
