import type { Publication, ReplicaObservation, Row } from './history.ts'
import type { IndexedHistory } from './indexed-history.ts'
import type { Violations } from './violation.ts'

/** From the broker to a copy's rows: H3, H10, H11, H12, H14 and H18, and the copy's half of H16. Answers how many keys it could not judge. */
export function judgeReplica(history: IndexedHistory, replica: ReplicaObservation, violations: Violations): number {
  const published = history.publishedOfKey.get(replica.topic) ?? new Map<string, Publication[]>()
  judgeChanges(replica, published, violations)
  judgeReads(history, replica, published, violations)
  const messages = history.published.get(replica.topic)?.size ?? 0
  if (replica.ended !== undefined && replica.ended < messages) {
    violations.add({ class: 'H16', detail: `${replica.name}: of ${messages} messages only ${replica.ended} ended` })
  }
  return judgeContent(history, replica, published, violations)
}

function judgeChanges(replica: ReplicaObservation, published: ReadonlyMap<string, Publication[]>, violations: Violations): void {
  const seen = new Map<string, { highest: number; gone: boolean }>()
  for (const { key, version } of replica.changes ?? []) {
    const known = seen.get(key) ?? { highest: 0, gone: false }
    seen.set(key, known)
    if (version === null) {
      known.gone = true
      continue
    }
    if (version < known.highest)
      violations.add({ class: 'H10', detail: `${replica.name} ${key} went from version ${known.highest} to ${version}` })
    else if (known.gone && version < firstDeletionAfter(known.highest, published.get(key))) {
      violations.add({ class: 'H12', detail: `${replica.name} ${key} came back as version ${version}, older than its deletion` })
    }
    known.highest = Math.max(known.highest, version)
    known.gone = false
  }
}

/** The deletion that can have taken a row of this version away: not older than this. */
function firstDeletionAfter(version: number, sequence: readonly Publication[] | undefined): number {
  let first = Number.NEGATIVE_INFINITY
  for (const publication of sequence ?? []) {
    if (publication.kind === 'deleted' && publication.version > version && (first < 0 || publication.version < first))
      first = publication.version
  }
  return first
}

function judgeReads(
  history: IndexedHistory,
  replica: ReplicaObservation,
  published: ReadonlyMap<string, Publication[]>,
  violations: Violations,
): void {
  const reads = history.reads.filter((read) => read.replica === replica.name)
  const isDeletedFrom = (key: string, version: number): boolean =>
    published.get(key)?.some((publication) => publication.kind === 'deleted' && publication.version >= version) ?? false
  for (const { key, token, version } of reads) {
    if (token === undefined) continue
    const older = version === null ? !isDeletedFrom(key, token) : version < token
    if (older)
      violations.add({ class: 'H14', detail: `${replica.name} ${key}: a read that waited for ${token} returned ${version ?? 'nothing'}` })
  }
  // A read that began after another had ended must not return something older.
  const ended = reads.flatMap((read) => (read.version === null ? [] : [read])).sort((a, b) => a.time - b.time)
  const begun = [...ended].sort((a, b) => a.invokedAt - b.invokedAt)
  const highest = new Map<string, number>()
  let next = 0
  for (const read of begun) {
    for (let before = ended[next]; before !== undefined && before.time < read.invokedAt; before = ended[++next]) {
      highest.set(before.key, Math.max(before.version as number, highest.get(before.key) ?? 0))
    }
    const floor = highest.get(read.key) ?? 0
    if ((read.version as number) < floor)
      violations.add({ class: 'H10', detail: `${replica.name} ${read.key} was read as ${floor}, and later as ${read.version}` })
  }
}

function judgeContent(
  history: IndexedHistory,
  replica: ReplicaObservation,
  published: ReadonlyMap<string, Publication[]>,
  violations: Violations,
): number {
  const waiting = new Set(replica.waitingKeys)
  const lost = history.lostKeys(replica.topic)
  const newestOf = (key: string): Publication | undefined =>
    published.get(key)?.reduce((newest, other) => (other.version > newest.version ? other : newest))
  let unjudged = 0
  const judged = (key: string): boolean => {
    // What a lost history wrote is over when the history that followed it has written the key again.
    const mark = newestOf(key)?.mark ?? null
    const attempt = mark === null ? undefined : history.attempts.get(mark)
    const isOver = attempt !== undefined && history.fateOf(attempt) === 'happened'
    if (!waiting.has(key) && (!lost.has(key) || isOver)) return true
    unjudged++
    return false
  }
  const copies = new Map<string, Row & { readonly version: number }>()
  for (const row of replica.rows) copies.set(row.key, row)

  for (const row of replica.owner) {
    const copy = copies.get(row.key)
    copies.delete(row.key)
    if (!judged(row.key)) continue
    if (copy === undefined) {
      violations.add({ class: 'H11', part: 'missing', detail: `${replica.name} has no row ${row.key}` })
      continue
    }
    const field = replica.fields.find((name) => (row.fields[name] ?? null) !== (copy.fields[name] ?? null))
    if (field === undefined) continue
    const newest = newestOf(row.key)?.version ?? 0
    const part = copy.version < newest ? 'stale' : 'field'
    violations.add({
      class: 'H11',
      part,
      detail: `${replica.name} ${row.key}.${field} is ${JSON.stringify(copy.fields[field])} (version ${copy.version} of ${newest}), the owner has ${JSON.stringify(row.fields[field])}`,
    })
  }
  for (const copy of copies.values()) {
    if (!judged(copy.key)) continue
    if (firstDeletionAfter(copy.version, published.get(copy.key)) > 0) {
      violations.add({ class: 'H12', detail: `${replica.name} ${copy.key} is there in version ${copy.version}, and was deleted later` })
    } else {
      violations.add({ class: 'H11', part: 'extra', detail: `${replica.name} has a row ${copy.key} that its owner has not` })
    }
  }
  return unjudged
}
