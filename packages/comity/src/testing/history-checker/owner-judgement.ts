import type { Change, Observations, Publication } from './history.ts'
import type { Attempt, IndexedHistory } from './indexed-history.ts'
import { regressions } from './order.ts'
import type { Violations } from './violation.ts'

/** From the writers to the broker: H1, H2, H3, H4, H6, H9 of publications, and the owner's half of H16. */
export function judgeOwners(history: IndexedHistory, observations: Observations, violations: Violations): void {
  judgePublications(history, violations)
  judgeLostByOwners(history, violations)
  judgeUnpublished(history, observations, violations)
  judgeDeletions(history, observations, violations)
  judgeVersions(history, observations, violations)
  for (const topic of observations.topics) {
    for (const [key, sequence] of history.publishedOfKey.get(topic.name) ?? []) {
      for (const [late, after] of regressions(sequence, topic, history)) {
        violations.add({ class: 'H9', detail: `${topic.name} ${key}: ${late.version} was first published after ${after.version}` })
      }
    }
  }
  for (const outbox of observations.outboxes) judgeConservation(history, outbox, observations.restored ?? false, violations)
}

function judgePublications(history: IndexedHistory, violations: Violations): void {
  for (const [first, other] of history.changedPublications) {
    violations.add({ class: 'H6', detail: `${first.topic} ${first.version} was published as ${content(first)} and as ${content(other)}` })
  }
  const versionOf = new Map<string, number>()
  for (const versions of history.published.values()) {
    for (const publication of versions.values()) {
      if (publication.mark === null) continue
      const attempt = history.attempts.get(publication.mark)
      const where = `${publication.topic} ${publication.key} version ${publication.version} (${publication.mark})`
      if (attempt === undefined || attempt.change.topic !== publication.topic || attempt.change.key !== publication.key) {
        violations.add({ class: 'H2', detail: `${where} was published and never attempted` })
        continue
      }
      const other = versionOf.get(publication.mark)
      // A state may be announced again as it is; an event would have its effect twice.
      if (other !== undefined && publication.kind === 'event')
        violations.add({ class: 'H5', detail: `${where} was published under version ${other} too` })
      versionOf.set(publication.mark, publication.version)
      const { write } = attempt
      if (write.begin.clone) violations.add({ class: 'H18', detail: `${where} was written in a clone, and published` })
      else if (history.fateOf(attempt) === 'never')
        violations.add({ class: 'H3', detail: `${where} was published, and its transaction or savepoint rolled back` })
      else if (write.end?.committingAt !== undefined && publication.time < write.end.committingAt) {
        violations.add({
          class: 'H4',
          detail: `${where} was published ${(write.end.committingAt - publication.time).toFixed(3)} ms before its COMMIT was sent`,
        })
      }
    }
  }
}

function judgeLostByOwners(history: IndexedHistory, violations: Violations): void {
  for (const write of history.writes.values()) {
    if (history.wasLostByOwner(write))
      violations.add({
        class: 'H1',
        part: 'acknowledged',
        detail: `write ${write.begin.op} was acknowledged, and is not in its owner's database`,
      })
  }
}

/** Every change that happened was published, is withheld by name, or (before the end) pending. */
function judgeUnpublished(history: IndexedHistory, observations: Observations, violations: Violations): void {
  const spans = new Map<string, { first: number; last: number }>()
  for (const [topic, versions] of history.published) {
    for (const { mark } of versions.values()) {
      if (mark === null) continue
      const time = history.attempts.get(mark)?.write.end?.time
      if (time === undefined) continue
      const span = spans.get(topic)
      if (span === undefined) spans.set(topic, { first: time, last: time })
      else {
        span.first = Math.min(span.first, time)
        span.last = Math.max(span.last, time)
      }
    }
  }
  const withheld = new Set(observations.outboxes.flatMap((outbox) => outbox.withheld.flatMap(({ mark }) => mark ?? [])))
  const pending = new Set(observations.outboxes.flatMap((outbox) => outbox.pending))
  for (const [mark, attempt] of history.attempts) {
    if (history.publishedMarks.has(mark) || withheld.has(mark) || attempt.write.begin.clone || history.fateOf(attempt) !== 'happened')
      continue
    const version = history.outcomeOf(attempt).version
    if (version !== undefined && pending.has(version)) continue
    const { topic, key } = attempt.change
    violations.add({
      class: 'H1',
      part: partOf(attempt, spans.get(topic)),
      detail: `${topic} ${key} (${mark}) was committed, and never published`,
    })
  }
}

function partOf({ write }: Attempt, span: { first: number; last: number } | undefined): string {
  const time = write.end?.time ?? write.begin.time
  if (span === undefined || time < span.first) return 'prefix'
  return time > span.last ? 'postfix' : 'middle'
}

/** Deletions carry no mark: per key, not fewer than happened, and not more than may have happened. */
function judgeDeletions(history: IndexedHistory, observations: Observations, violations: Violations): void {
  const expected = new Map<string, { topic: string; key: string; atLeast: number; atMost: number }>()
  const entry = (topic: string, key: string): { atLeast: number; atMost: number } => {
    const name = `${topic}\0${key}`
    const known = expected.get(name) ?? { topic, key, atLeast: 0, atMost: 0 }
    expected.set(name, known)
    return known
  }
  for (const write of history.writes.values()) {
    if (write.begin.clone) continue
    for (const [index, change] of write.begin.changes.entries()) {
      if (change.kind !== 'deleted') continue
      const fate = history.fateOf({ change, write, index })
      const counts = entry(change.topic, change.key)
      if (fate !== 'never') counts.atMost++
      if (fate === 'happened') counts.atLeast++
    }
  }
  const deletedNow = new Map<string, number>()
  for (const [topic, keys] of history.publishedOfKey) {
    for (const [key, sequence] of keys) {
      const deletions = sequence.filter(({ kind }) => kind === 'deleted').length
      if (deletions === 0) continue
      entry(topic, key)
      deletedNow.set(`${topic}\0${key}`, deletions)
    }
  }
  const held = new Map<string, number>()
  for (const outbox of observations.outboxes) {
    const notSent = new Set([...outbox.pending, ...outbox.withheld.map(({ version }) => version)])
    for (const change of outbox.changes)
      if (notSent.has(change.version)) held.set(`${change.topic}\0${change.key}`, (held.get(`${change.topic}\0${change.key}`) ?? 0) + 1)
  }
  for (const [name, { topic, key, atLeast, atMost }] of expected) {
    const published = deletedNow.get(name) ?? 0
    if (published + (held.get(name) ?? 0) < atLeast)
      violations.add({
        class: 'H1',
        part: 'deletion',
        detail: `${topic} ${key}: ${atLeast} deletions were committed, ${published} published`,
      })
    if (published > atMost)
      violations.add({ class: 'H2', detail: `${topic} ${key}: ${published} deletions were published, at most ${atMost} can have happened` })
  }
}

/** One number of an owner belongs to one change for ever. */
function judgeVersions(history: IndexedHistory, observations: Observations, violations: Violations): void {
  const owners = new Map(observations.topics.map((topic) => [topic.name, topic.owner ?? topic.name]))
  const holders = new Map<string, string>()
  const hold = (topic: string, version: number, holder: string): void => {
    const name = `${owners.get(topic) ?? topic}\0${version}`
    const other = holders.get(name)
    if (other !== undefined && other !== holder)
      violations.add({ class: 'H6', detail: `version ${version} was drawn twice: for ${other} and for ${holder}` })
    else holders.set(name, holder)
  }
  for (const versions of history.published.values()) for (const p of versions.values()) hold(p.topic, p.version, `${p.topic} ${p.key}`)
  for (const outbox of observations.outboxes)
    for (const change of outbox.changes) hold(change.topic, change.version, `${change.topic} ${change.key}`)
  for (const attempt of history.attempts.values()) {
    if (attempt.write.begin.clone || history.fateOf(attempt) === 'never') continue
    const { version } = history.outcomeOf(attempt)
    if (version === undefined) continue
    hold(attempt.change.topic, version, `${attempt.change.topic} ${attempt.change.key}`)
    const published = history.published.get(attempt.change.topic)?.get(version)
    if (published !== undefined && published.mark !== attempt.change.mark) {
      violations.add({
        class: 'H6',
        detail: `version ${version} was given to ${attempt.change.mark}, and published with ${published.mark}`,
      })
    }
  }
}

function judgeConservation(
  history: IndexedHistory,
  outbox: Observations['outboxes'][number],
  restored: boolean,
  violations: Violations,
): void {
  const withheld = new Set(outbox.withheld.map(({ version }) => version))
  const pending = new Set(outbox.pending)
  const recorded = new Set<string>()
  for (const { version, topic, key } of outbox.changes) {
    recorded.add(`${topic}\0${version}`)
    const places = [
      ...(history.published.get(topic)?.has(version) ? ['sent'] : []),
      ...(withheld.has(version) ? ['withheld'] : []),
      ...(pending.has(version) ? ['pending'] : []),
    ]
    // What was sent and is not settled yet is both, until the next checkpoint.
    if (places.length === 0)
      violations.add({ class: 'H16', detail: `${topic} ${key} version ${version} is neither sent nor withheld nor pending` })
    if (withheld.has(version) && places.length > 1)
      violations.add({ class: 'H16', detail: `${topic} ${key} version ${version} is ${places.join(' and ')}` })
  }
  if (restored) return
  const topics = new Set(outbox.changes.map(({ topic }) => topic))
  for (const topic of topics) {
    for (const { version, key } of history.published.get(topic)?.values() ?? []) {
      if (!recorded.has(`${topic}\0${version}`))
        violations.add({ class: 'H16', detail: `${topic} ${key} version ${version} was sent, and ${outbox.team} has no such change` })
    }
  }
}

function content({ key, kind, mark }: Publication | (Change & { readonly version: number })): string {
  return `${kind} ${key} ${mark ?? ''}`.trim()
}
