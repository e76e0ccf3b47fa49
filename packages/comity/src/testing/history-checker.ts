import type { Observations, Operation, Send } from './history-checker/history.ts'
import { IndexedHistory } from './history-checker/indexed-history.ts'
import { judgeOwners } from './history-checker/owner-judgement.ts'
import { judgeReplica } from './history-checker/replica-judgement.ts'
import { judgeRequests } from './history-checker/request-judgement.ts'
import { judgeSubscription, worstLag } from './history-checker/subscription-judgement.ts'
import { type Violation, Violations } from './history-checker/violation.ts'

/**
 * Judges a fault run. Knows nothing of the code under test: only what writers attempted, what an independent subscriber of
 * the broker saw, and what stood in the databases when everything had drained.
 *
 *   H1  lost event (prefix, middle, postfix; `deletion`; `acknowledged`: the owner's own row is gone)
 *   H2  phantom: delivered, never attempted          H3  of a transaction that rolled back    H4  published before its commit
 *   H5  duplicate effect                             H6  one version, two contents
 *   H7  per-key regress at a handler                 H8  gap at a handler                      H9  first publications of a key out of order
 *   H10 a replica's version decreased                H11 replica ≠ owner: missing, extra, stale, field
 *   H12 resurrected after a deletion                 H14 a read with a token returned something older
 *   H15 a request with no outcome, with two, with an effect that is not its outcome's, or whose acceptance overwrote what it did not expect
 *   H16 conservation                                 H18 a stale term's or a clone's write was accepted
 *   H19 acknowledged before commit                   H22 not drained, or too late              H23 grew beyond its bound
 *   H24 known, and not shown
 *
 * An operation of unknown outcome is never held against anybody. A run in which nothing succeeded, or in which no fault
 * happened although some were scheduled, is `unknown`.
 */
export interface HistoryChecker {
  /** In the order in which each process recorded them. */
  add(operation: Operation): void
  /** Once, after the last operation. */
  judge(observations: Observations): Judgement
}

export interface Judgement {
  readonly valid: true | false | 'unknown'
  /** Why it is unknown. */
  readonly reason?: string
  /** Up to ten of each class and part; `counts.violations` has all. */
  readonly violations: readonly Violation[]
  readonly counts: JudgementCounts
}

export interface JudgementCounts {
  readonly writes: { readonly ok: number; readonly fail: number; readonly info: number }
  readonly changes: number
  /** With repetitions, and without. */
  readonly publications: number
  readonly published: number
  readonly effects: number
  readonly replicaRows: number
  /** Reads of a copy that waited for a token first. */
  readonly tokenReads: number
  readonly requests: number
  /** Keys of replicas that wait, or belong to a history that was lost with a database. */
  readonly unjudged: number
  readonly faults: number
  /** From a commit to its effect at a handler, in milliseconds. */
  readonly worstLag: number
  readonly violations: Readonly<Record<string, number>>
}

export function historyChecker(): HistoryChecker {
  const history = new IndexedHistory()
  return { add: (operation) => history.add(operation), judge: (observations) => judge(history, observations) }
}

/** All at once. */
export function checkHistory(operations: Iterable<Operation>, observations: Observations): Judgement {
  const checker = historyChecker()
  for (const operation of operations) checker.add(operation)
  return checker.judge(observations)
}

function judge(history: IndexedHistory, observations: Observations): Judgement {
  history.finish(observations)
  const violations = new Violations()
  judgeOwners(history, observations, violations)
  for (const subscription of observations.subscriptions) {
    const topic = observations.topics.find(({ name }) => name === subscription.topic) ?? { name: subscription.topic, promise: 'ordered' }
    judgeSubscription(history, subscription, topic, violations)
  }
  let unjudged = 0
  for (const replica of observations.replicas) unjudged += judgeReplica(history, replica, violations)
  for (const requests of observations.requests ?? []) judgeRequests(history, requests, violations)
  judgeTerms(history, observations, violations)
  judgeDrain(observations, violations)
  const lag = worstLag(history, observations)
  if (lag > (observations.maxLag ?? Number.POSITIVE_INFINITY))
    violations.add({ class: 'H22', detail: `an effect came ${Math.round(lag)} ms after its commit` })
  for (const { component, trouble, known, shown } of observations.troubles ?? []) {
    if (known > 0 && shown === 0) violations.add({ class: 'H24', detail: `${component} knows ${known} × ${trouble}, and shows none` })
  }
  for (const { component, of, worst, limit } of observations.bounds ?? []) {
    // What could not be measured is no good news.
    if (!(worst <= limit)) violations.add({ class: 'H23', detail: `${component}: ${of} came to ${worst}, above ${limit}` })
  }

  const counts = countsOf(history, observations, violations, lag, unjudged)
  const reason = unknownBecause(counts, observations)
  if (violations.told.length > 0) return { valid: false, violations: violations.told, counts }
  return reason === undefined ? { valid: true, violations: [], counts } : { valid: 'unknown', reason, violations: [], counts }
}

/** H18: once a later term (or life) of a team was heard, a broker that can refuses an older one; what is settled never goes back. */
function judgeTerms(history: IndexedHistory, observations: Observations, violations: Violations): void {
  const stored = [...history.sends.values()].flatMap(({ begin, end }) => (end?.phase === 'ok' ? [{ begin, end }] : []))
  const ended = [...stored].sort((a, b) => a.end.time - b.end.time)
  const begun = stored.sort((a, b) => a.begin.time - b.begin.time)
  const highest = new Map<string, Send>()
  let next = 0
  for (const { begin } of begun) {
    for (let before = ended[next]; before !== undefined && before.end.time < begin.time; before = ended[++next]) {
      const other = highest.get(before.begin.team)
      if (other === undefined || isLater(before.begin, other)) highest.set(before.begin.team, before.begin)
    }
    const newest = highest.get(begin.team)
    if (observations.fenced !== false && newest !== undefined && isLater(newest, begin)) {
      violations.add({
        class: 'H18',
        detail: `a send of ${begin.team} in term ${begin.incarnation}/${begin.term} was stored after one in ${newest.incarnation}/${newest.term}`,
      })
    }
  }
  for (const { team, checkpoints } of observations.outboxes) {
    let last = { version: 0, term: 0 }
    for (const checkpoint of checkpoints) {
      if (checkpoint.term < last.term)
        violations.add({ class: 'H18', detail: `${team}: term ${checkpoint.term} moved the checkpoint after term ${last.term}` })
      if (checkpoint.version < last.version)
        violations.add({ class: 'H18', detail: `${team}: the checkpoint went back from ${last.version} to ${checkpoint.version}` })
      last = checkpoint
    }
  }
}

function isLater(a: Send, b: Send): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.term > b.term)
}

function judgeDrain(observations: Observations, violations: Violations): void {
  if (!observations.drained) violations.add({ class: 'H22', detail: 'the run did not drain' })
  for (const { name, backlog } of [...observations.subscriptions, ...observations.replicas]) {
    if (backlog > 0) violations.add({ class: 'H22', detail: `${name} has ${backlog} messages left` })
  }
  for (const { team, pending } of observations.outboxes) {
    if (pending.length > 0) violations.add({ class: 'H22', detail: `the outbox of ${team} has ${pending.length} changes left` })
  }
}

function countsOf(
  history: IndexedHistory,
  observations: Observations,
  violations: Violations,
  lag: number,
  unjudged: number,
): JudgementCounts {
  const writes = { ok: 0, fail: 0, info: 0 }
  let changes = 0
  for (const write of history.writes.values()) {
    writes[write.end?.phase ?? 'info']++
    changes += write.begin.changes.length
  }
  let published = 0
  for (const versions of history.published.values()) published += versions.size
  return {
    writes,
    changes,
    publications: history.publications,
    published,
    effects: observations.subscriptions.reduce((sum, { effects }) => sum + effects.length, 0),
    replicaRows: observations.replicas.reduce((sum, { rows }) => sum + rows.length, 0),
    tokenReads: history.reads.filter(({ token }) => token !== undefined).length,
    requests: history.asks.length,
    unjudged,
    faults: history.faults,
    worstLag: Math.round(lag),
    violations: violations.counts,
  }
}

function unknownBecause(counts: JudgementCounts, { faultsScheduled }: Observations): string | undefined {
  if (counts.writes.ok === 0 && counts.requests === 0) return 'no write succeeded'
  if (counts.published === 0 && counts.requests === 0) return 'nothing was published'
  if (faultsScheduled > 0 && counts.faults === 0) return `none of ${faultsScheduled} scheduled faults happened`
  return undefined
}
