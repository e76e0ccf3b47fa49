/**
 * Runs work with a signal that aborts when it takes longer than `limit` milliseconds, or when `signal` does; then, or when it is late, the work is not waited
 * for any longer: rejects with what `late` makes.
 */
export async function withinTime(
  limit: number,
  signal: AbortSignal,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<void> | void,
): Promise<void> {
  // Not AbortSignal.any: for each of its results the longer-lived signal keeps a few bytes for ever (Node 20).
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      abort.abort()
      reject(late())
    }, limit)
  })
  if (signal.aborted) abort.abort()
  signal.addEventListener('abort', stop)
  try {
    await Promise.race([work(abort.signal), over])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
