/** What may be said of an error: a code, and one line of words. */
export interface ErrorFields {
  readonly 'error.code': string
  readonly 'error.message': string
}

/** The code of an error of ours, of Node or of Postgres (SQLSTATE); else the name of its class. */
export function errorType(error: unknown): string {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown }
  if (typeof code === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(code)) return code
  return typeof name === 'string' ? name : 'Error'
}

/** @param error an error, or what `describeError` has made of one: SQL errors must come so, for their words may hold values */
export function errorFields(error: unknown): ErrorFields {
  const { message } = (error ?? {}) as { readonly message?: unknown }
  const words = typeof error === 'string' ? error : typeof message === 'string' ? message : String(error)
  return { 'error.code': errorType(error), 'error.message': (words.split('\n', 1)[0] as string).slice(0, 500) }
}
