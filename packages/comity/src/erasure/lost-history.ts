import type { CopyingContract } from '../control/copying-channel.ts'

/**
 * What an owner whose database was put back says to those who read something of it, on the topic of its erasures: which versions belong to no history
 * that goes on. A restart looks the same, and then none of these was ever sent. Each message names all that the life that speaks knows of, so the
 * newest of the newest life holds, and takes back what another one has said.
 */
export interface LostHistory {
  readonly v: number
  /** First version of the life that says it: of two, the later life's holds. */
  readonly life: number
  /** [above, below]: every version strictly between them is lost. Up to a thousand, the newest. */
  readonly ranges: readonly (readonly [number, number])[]
}

export const LOST_VERSION = 1

const version = { type: 'integer', minimum: 0 } as const

export const LOST_HISTORY: CopyingContract = {
  type: 'comity.history-lost',
  schema: {
    type: 'object',
    properties: {
      v: { type: 'integer', minimum: 1 },
      life: version,
      ranges: { type: 'array', maxItems: 10_000, items: { type: 'array', items: version, minItems: 2, maxItems: 2 } },
    },
    required: ['v', 'life', 'ranges'],
  },
}
