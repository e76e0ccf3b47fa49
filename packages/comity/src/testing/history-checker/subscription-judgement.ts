import type { Effect, Observations, SubscriptionObservation, TopicPromise } from './history.ts'
import type { IndexedHistory } from './indexed-history.ts'
import { byKey, regressions } from './order.ts'
import type { Violations } from './violation.ts'

/** From the broker to a handler's effects: H1, H2, H3, H5, H6, H7, H8, H18 and H19 at a subscription, and its half of H16. */
export function judgeSubscription(
  history: IndexedHistory,
  subscription: SubscriptionObservation,
  topic: TopicPromise,
  violations: Violations,
): void {
  const firsts = judgeEffects(history, subscription, topic, violations)
  for (const effects of byGeneration(firsts)) {
    for (const [key, sequence] of byKey(effects)) {
      for (const [late, after] of regressions(sequence, topic, history)) {
        violations.add({ class: 'H7', detail: `${subscription.name} ${key}: ${late.version} came after ${after.version}` })
      }
    }
  }
  judgeMissing(history, subscription, violations)
}

/** Each effect by itself; answers the first of each message and generation, in order. */
function judgeEffects(
  history: IndexedHistory,
  subscription: SubscriptionObservation,
  topic: TopicPromise,
  violations: Violations,
): readonly Effect[] {
  const firsts = new Map<string, Effect>()
  const marks = new Set<string>()
  const published = history.published.get(topic.name)
  const { replaced, originalOf } = editsOf(subscription)
  for (const effect of subscription.effects) {
    const where = `${subscription.name} ${effect.key} version ${effect.version}${effect.mark === null ? '' : ` (${effect.mark})`}`
    const id = `${effect.generation}\0${originalOf(effect.message)}`
    const mark = `${effect.generation}\0${effect.mark}`
    if (firsts.has(id) || (effect.kind === 'event' && marks.has(mark))) {
      violations.add({ class: 'H5', detail: `${where} had its effect twice` })
      continue
    }
    firsts.set(id, effect)
    marks.add(mark)
    const publication = published?.get(effect.version)
    if (replaced.has(effect.message)) violations.add({ class: 'H16', detail: `${where} was replaced by an edit, and had its effect` })
    if (originalOf(effect.message) !== effect.message) {
      // Its content is the operator's; whose place it takes is not.
      if (publication?.message !== originalOf(effect.message) || publication.key !== effect.key)
        violations.add({ class: 'H2', detail: `${where} stands for a message that was never published` })
      continue
    }
    const attempt = effect.mark === null ? undefined : history.attempts.get(effect.mark)
    if (effect.mark !== null && attempt === undefined) violations.add({ class: 'H2', detail: `${where} was delivered and never attempted` })
    if (attempt?.write.begin.clone) violations.add({ class: 'H18', detail: `${where} was written in a clone, and delivered` })
    else if (attempt !== undefined && history.fateOf(attempt) === 'never') {
      violations.add({ class: 'H3', detail: `${where} was delivered, and its transaction or savepoint rolled back` })
    }
    if (
      publication !== undefined &&
      (publication.mark !== effect.mark || publication.key !== effect.key || publication.kind !== effect.kind)
    ) {
      violations.add({
        class: 'H6',
        detail: `${where} was published with other content (${publication.kind} ${publication.key} ${publication.mark ?? ''})`,
      })
    }
    if (publication === undefined && effect.mark === null)
      violations.add({ class: 'H2', detail: `${where} was delivered and never published` })
  }
  const { counts, effects, waiting, discarded } = subscription
  for (const [outcome, exist] of Object.entries({ applied: effects.length, waiting: waiting.length, discarded: discarded.length })) {
    const counted = counts?.[outcome as keyof typeof counts] ?? exist
    if (counted !== exist)
      violations.add({ class: 'H16', detail: `${subscription.name} counts ${counted} messages as ${outcome}, and ${exist} exist` })
  }
  return [...firsts.values()]
}

function judgeMissing(history: IndexedHistory, subscription: SubscriptionObservation, violations: Violations): void {
  const { name, topic, effects } = subscription
  const { originalOf } = editsOf(subscription)
  const applied = new Set(effects.map(({ message }) => originalOf(message)))
  const waiting = new Set(subscription.waiting.map(originalOf))
  const discarded = new Set(subscription.discarded.map(originalOf))
  for (const message of waiting) {
    if (discarded.has(message)) violations.add({ class: 'H16', detail: `${name}: ${message} was discarded, and waits` })
  }
  for (const message of applied) {
    if (waiting.has(message) || discarded.has(message))
      violations.add({ class: 'H16', detail: `${name}: ${message} is applied, and waits or was discarded` })
  }
  const newest = new Map<string, number>()
  let first = Number.POSITIVE_INFINITY
  for (const { key, version } of effects) {
    newest.set(key, Math.max(version, newest.get(key) ?? 0))
    first = Math.min(first, version)
  }
  const acknowledged = history.acknowledged.get(name)
  for (const { message, key, version } of history.published.get(topic)?.values() ?? []) {
    if (applied.has(message) || waiting.has(message) || discarded.has(message)) continue
    const where = `${name} ${key} version ${version} (${message})`
    if (acknowledged?.has(message)) violations.add({ class: 'H19', detail: `${where} was acknowledged, and its effect is nowhere` })
    else if (version < (newest.get(key) ?? 0))
      violations.add({ class: 'H8', detail: `${where} was skipped: a later one of its key had its effect` })
    else
      violations.add({
        class: 'H1',
        part: version < first ? 'prefix' : 'postfix',
        detail: `${where} was published, and never had its effect`,
      })
  }
}

/** A message may be edited again and again: all that stood in its place count as it. */
function editsOf({ edited = [] }: SubscriptionObservation): {
  readonly replaced: ReadonlySet<string>
  readonly originalOf: (message: string) => string
} {
  const before = new Map(edited.map(({ message, replacedBy }) => [replacedBy, message]))
  const originalOf = (message: string): string => {
    const earlier = before.get(message)
    return earlier === undefined ? message : originalOf(earlier)
  }
  return { replaced: new Set(edited.map(({ message }) => message)), originalOf }
}

function byGeneration(effects: readonly Effect[]): Iterable<Effect[]> {
  const generations = new Map<number, Effect[]>()
  for (const effect of effects) {
    const same = generations.get(effect.generation)
    if (same === undefined) generations.set(effect.generation, [effect])
    else same.push(effect)
  }
  return generations.values()
}

/** The longest time from a commit to an effect, where both are known; for the real-time promise and for the report. */
export function worstLag(history: IndexedHistory, observations: Observations): number {
  let worst = 0
  for (const { effects } of observations.subscriptions) {
    for (const { mark, time } of effects) {
      const end = mark === null ? undefined : history.attempts.get(mark)?.write.end
      if (time !== undefined && end?.phase === 'ok') worst = Math.max(worst, time - end.time)
    }
  }
  return worst
}
