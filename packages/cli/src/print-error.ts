import { ComityError } from '@comity/contract'
import pc from 'picocolors'
import { DatabaseRefused, Unexpected } from './errors.ts'

/** An error as it is shown, whichever copy of the library threw it. */
export interface ShownError {
  readonly code: string
  readonly cause: string
  readonly remedy: string
  readonly path?: string
  readonly limit?: string
}

export function shownError(error: unknown): ShownError {
  const known = isComityError(error) ? error : unknownError(error)
  const { code, remedy, path, limit } = known
  const cause = known.message.split('\n  What to do: ', 1)[0] as string
  return { code, cause, remedy, ...(path === undefined ? {} : { path }), ...(limit === undefined ? {} : { limit }) }
}

/** Several lines, without a stack trace: the reader has to change something, not debug us. */
export function errorText(error: unknown, options: { readonly verbose?: boolean } = {}): string {
  const { code, cause, remedy, path, limit } = shownError(error)
  const lines = [`${pc.red(pc.bold('error'))} ${pc.dim(code)}`, `  ${cause}`]
  if (path !== undefined) lines.push(`  Where: ${path}`)
  if (limit !== undefined) lines.push(`  Limit: ${limit}`)
  lines.push(`  ${pc.bold('What to do:')} ${remedy}`)
  if (options.verbose) for (let at: unknown = error; at instanceof Error; at = at.cause) lines.push('', pc.dim(at.stack ?? String(at)))
  return lines.join('\n')
}

function unknownError(error: unknown): ComityError {
  const reason = error instanceof Error ? error.message : String(error)
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  if (typeof code === 'string' && severity !== undefined) return new DatabaseRefused({ reason, sqlstate: code }, { cause: error })
  return new Unexpected({ reason }, { cause: error })
}

/** A configuration may bring its own copy of the library, so that `instanceof` alone does not tell. */
function isComityError(error: unknown): error is ComityError {
  if (error instanceof ComityError) return true
  const { code, remedy } = (error ?? {}) as { code?: unknown; remedy?: unknown }
  return error instanceof Error && typeof code === 'string' && code.startsWith('COMITY_') && typeof remedy === 'string'
}
