import type { Change, TopicPromise } from './history.ts'
import type { IndexedHistory } from './indexed-history.ts'

export interface Seen {
  readonly key: string
  readonly kind: Change['kind']
  readonly version: number
  readonly mark: string | null
}

/**
 * What of one key came too late, judged by what its topic promises: by version where the owner orders the key; else only
 * what real time shows, that is an event that was committed before another of its key was even published.
 */
export function regressions<S extends Seen>(
  sequence: readonly S[],
  topic: TopicPromise,
  history: IndexedHistory,
): readonly (readonly [late: S, after: S])[] {
  const late: (readonly [S, S])[] = []
  let newest: S | undefined
  let newestStart = Number.NEGATIVE_INFINITY
  for (const seen of sequence) {
    if (topic.promise !== 'event') {
      if (newest !== undefined && seen.version < newest.version) late.push([seen, newest])
      else newest = seen
      continue
    }
    const attempt = seen.mark === null ? undefined : history.attempts.get(seen.mark)
    if (attempt === undefined) continue
    const { write } = attempt
    if (newest !== undefined && write.end?.phase === 'ok' && write.end.time < newestStart) late.push([seen, newest])
    const start = history.outcomeOf(attempt).at ?? write.begin.time
    if (start > newestStart) {
      newestStart = start
      newest = seen
    }
  }
  return late
}

/** Into one array per key, each in the order given. */
export function byKey<S extends { readonly key: string }>(all: Iterable<S>): Map<string, S[]> {
  const keys = new Map<string, S[]>()
  for (const one of all) {
    const ofKey = keys.get(one.key)
    if (ofKey === undefined) keys.set(one.key, [one])
    else ofKey.push(one)
  }
  return keys
}
