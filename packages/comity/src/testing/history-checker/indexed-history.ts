import type { Ask, Change, ChangeOutcome, Observations, Operation, Publication, Read, Send, WriteBegin, WriteEnd } from './history.ts'

/** Did it happen? `unknown` is never held against anybody. */
export type Fate = 'happened' | 'never' | 'unknown'

export interface Attempt {
  readonly change: Change
  readonly write: Write
  readonly index: number
}
export interface Write {
  readonly begin: WriteBegin
  end: WriteEnd | undefined
}

interface SendCall {
  readonly begin: Send
  end: Send | undefined
}

/**
 * The operations of a run, by what one asks for. Takes them in any order of processes, except that publications of one key
 * come in the broker's order.
 */
export class IndexedHistory {
  readonly writes: Map<string, Write> = new Map()
  /** mark → the attempt that carries it. */
  readonly attempts: Map<string, Attempt> = new Map()
  /** topic → version → the first time that a subscriber of the broker saw it. */
  readonly published: Map<string, Map<number, Publication>> = new Map()
  /** topic → key → first publications, in order. */
  readonly publishedOfKey: Map<string, Map<string, Publication[]>> = new Map()
  readonly sends: Map<string, SendCall> = new Map()
  readonly reads: Read[] = []
  readonly asks: Ask[] = []
  /** subscription → messages that the broker was told are done. */
  readonly acknowledged: Map<string, Set<string>> = new Map()
  /** Repetitions of a publication that differ from the first. */
  readonly changedPublications: (readonly [Publication, Publication])[] = []
  readonly publishedMarks: Set<string> = new Set()
  publications = 0
  faults = 0
  #endings = new Map<string, WriteEnd>()
  #committed: ReadonlySet<string> | undefined
  #restored = false

  add(operation: Operation): void {
    switch (operation.f) {
      case 'write':
        this.#write(operation)
        break
      case 'publication':
        this.#publication(operation)
        break
      case 'send':
        this.#send(operation)
        break
      case 'ack': {
        const done = this.acknowledged.get(operation.subscription) ?? new Set()
        this.acknowledged.set(operation.subscription, done)
        for (const message of operation.messages) done.add(message)
        break
      }
      case 'read':
        this.reads.push(operation)
        break
      case 'ask':
        this.asks.push(operation)
        break
      case 'fault':
        if (operation.phase === 'ok') this.faults++
    }
  }

  /** After the last operation. */
  finish(observations: Observations): void {
    for (const [op, end] of this.#endings) {
      const write = this.writes.get(op)
      if (write !== undefined) write.end = end
    }
    this.#committed = observations.committed === undefined ? undefined : new Set(observations.committed)
    this.#restored = observations.restored ?? false
  }

  outcomeOf({ write, index }: Attempt): ChangeOutcome {
    return write.end?.outcomes?.[index] ?? {}
  }

  fateOf(attempt: Attempt): Fate {
    if (this.outcomeOf(attempt).undone === true) return 'never'
    return this.fateOfWrite(attempt.write)
  }

  fateOfWrite({ begin, end }: Write): Fate {
    const phase = end?.phase ?? 'info'
    if (phase === 'fail') return 'never'
    if (this.#committed === undefined) {
      // A transaction is whole: if one of its changes was seen, it committed.
      const seen = begin.changes.some(({ mark }) => mark !== null && this.publishedMarks.has(mark))
      return phase === 'ok' || seen ? 'happened' : 'unknown'
    }
    if (this.#committed.has(begin.op)) return 'happened'
    if (this.#restored) return 'unknown'
    // An acknowledged write whose row is gone is a lost write, and stays "happened"; the others were rolled back.
    return phase === 'ok' ? 'happened' : 'never'
  }

  /**
   * Keys of a topic that a history wrote which was lost with its owner's database: what was published of it is in the copies, and
   * its owner knows nothing of it. To find that is the audit's business, not the relay's.
   */
  lostKeys(topic: string): ReadonlySet<string> {
    const keys = new Set<string>()
    if (!this.#restored) return keys
    for (const write of this.writes.values()) {
      for (const [index, change] of write.begin.changes.entries()) {
        if (change.topic === topic && this.fateOf({ change, write, index }) === 'unknown') keys.add(change.key)
      }
    }
    return keys
  }

  /** Acknowledged, and its own row is not in the owner's database although nobody put that back. */
  wasLostByOwner({ begin, end }: Write): boolean {
    return end?.phase === 'ok' && this.#committed !== undefined && !this.#committed.has(begin.op) && !this.#restored && begin.clone !== true
  }

  #write(operation: WriteBegin | WriteEnd): void {
    if (operation.phase !== 'invoke') {
      this.#endings.set(operation.op, operation)
      return
    }
    const write: Write = { begin: operation, end: undefined }
    this.writes.set(operation.op, write)
    for (const [index, change] of operation.changes.entries()) {
      if (change.mark !== null) this.attempts.set(change.mark, { change, write, index })
    }
  }

  #publication(publication: Publication): void {
    this.publications++
    const versions = this.published.get(publication.topic) ?? new Map<number, Publication>()
    this.published.set(publication.topic, versions)
    const first = versions.get(publication.version)
    if (first !== undefined) {
      if (first.key !== publication.key || first.kind !== publication.kind || first.mark !== publication.mark) {
        this.changedPublications.push([first, publication])
      }
      return
    }
    versions.set(publication.version, publication)
    if (publication.mark !== null) this.publishedMarks.add(publication.mark)
    const keys = this.publishedOfKey.get(publication.topic) ?? new Map<string, Publication[]>()
    this.publishedOfKey.set(publication.topic, keys)
    const ofKey = keys.get(publication.key)
    if (ofKey === undefined) keys.set(publication.key, [publication])
    else ofKey.push(publication)
  }

  #send(operation: Send): void {
    if (operation.phase === 'invoke') {
      this.sends.set(operation.op, { begin: operation, end: this.sends.get(operation.op)?.end })
      return
    }
    const known = this.sends.get(operation.op)
    if (known === undefined) this.sends.set(operation.op, { begin: operation, end: operation })
    else known.end = operation
  }
}
