/**
 * An error of ours in SQL (`comity.refuse`) in its typed form; every other one as it is.
 * @param state its SQLSTATE, of the class CM
 */
export function refusalOf(error: unknown, state: string, typed: (problem: string, remedy: string) => Error): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    const { code, hint, message } = cause as { readonly code?: unknown; readonly hint?: unknown; readonly message: string }
    if (code === state) return typed(message, String(hint ?? 'see the cause'))
  }
  return error
}
