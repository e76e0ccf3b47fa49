import { ComityError, type ContractDescription } from '@comity/contract'
import { compile, HARD_MAX_BYTES, parseJson } from '../schema/index.ts'

/** Why a captured or SQL-published change can not be published. */
export interface Verdict {
  readonly code: string
  readonly path?: string
  readonly reason: string
}

interface Judged {
  readonly kind: string
  readonly payload: string | null
  /** JSON; `withheld` where capture itself found that the row breaks a limit. */
  readonly headers: string | null
}

/** The owner's second door: what the business has committed is never refused, it is withheld with its reason. */
export function judgeOf(contract: ContractDescription): (row: Judged) => Verdict | undefined {
  const validator = compile(contract.schema)

  return (row) => {
    let withheld: Verdict | undefined
    try {
      withheld = row.headers === null ? undefined : (JSON.parse(row.headers) as { withheld?: Verdict }).withheld
    } catch {
      return { code: 'COMITY_INVALID_DATA', reason: 'the headers are not a JSON object' }
    }
    if (withheld !== undefined) return withheld
    if (row.kind === 'deleted') return undefined
    let data: unknown
    try {
      // By the reader's own rules: what a consumer would refuse must not leave its owner.
      data = parseJson(row.payload ?? '', HARD_MAX_BYTES)
    } catch (error) {
      if (!(error instanceof ComityError)) throw error
      return {
        code: error.code,
        reason: error.message.split('\n', 1)[0] as string,
        ...(error.path === undefined ? {} : { path: error.path }),
      }
    }
    const problem = validator.validate(data)
    return problem === undefined ? undefined : { code: 'COMITY_INVALID_DATA', path: problem.path, reason: problem.message }
  }
}
