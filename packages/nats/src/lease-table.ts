/**
 * Who receives which bucket of a subscription: one key of the team's store, changed by compare-and-set only. These functions make the next
 * table from the last; they give the same table back when there is nothing to change.
 *
 *   free ──take──▶ held by a holder, under a new term ──release (with its position)──▶ free
 *                    └─ the holder's process was silent for a lease ──▶ free, at the position that it last wrote down
 *   any ──seek──▶ the same holder, a new term, another position
 */
export interface LeaseTable {
  /** Of this subscription and none that had its name before. */
  readonly id: string
  readonly topic: string
  /** When the topic's stream was made: positions belong to that one. */
  readonly created: string
  /** Receivers, in the order in which they joined. */
  readonly holders: readonly string[]
  /** One for each bucket. */
  readonly leases: readonly Lease[]
}

export interface Lease {
  readonly holder: string | null
  readonly term: number
  /** The last acknowledged sequence when the term began. */
  readonly position: number
}

/** What a holder writes down under a key of its own while it holds: bucket, term, last acknowledged sequence. */
export type Acknowledged = readonly (readonly [bucket: number, term: number, position: number])[]

/** A holder is one call of `receive` in one instance of a transport: `<instance>-<number>`. */
export const instanceOf = (holder: string): string => holder.slice(0, holder.lastIndexOf('-'))

export function newTable(
  id: string,
  topic: { readonly topic: string; readonly created: string; readonly buckets: number },
  position: number,
): LeaseTable {
  const leases = Array.from({ length: topic.buckets }, () => ({ holder: null, term: 0, position }))
  return { id, topic: topic.topic, created: topic.created, holders: [], leases }
}

export function joined(table: LeaseTable, holder: string): LeaseTable {
  return table.holders.includes(holder) ? table : { ...table, holders: [...table.holders, holder] }
}

/** How many buckets the holder should have: shares differ by one at most, and who joined first has the larger. */
export function shareOf({ holders, leases }: LeaseTable, holder: string): number {
  const rank = holders.indexOf(holder)
  if (rank < 0) return 0
  return Math.floor(leases.length / holders.length) + (rank < leases.length % holders.length ? 1 : 0)
}

/** The holder takes free buckets, up to its share. */
export function taken(table: LeaseTable, holder: string): LeaseTable {
  let wanted = shareOf(table, holder) - table.leases.filter((lease) => lease.holder === holder).length
  if (wanted <= 0 || table.leases.every((lease) => lease.holder !== null)) return table
  const leases = table.leases.map((lease) => (lease.holder === null && wanted-- > 0 ? { ...lease, holder, term: lease.term + 1 } : lease))
  return { ...table, leases }
}

/** Gives the buckets back, at the positions that are known of them; `leave` = all of them, and the place at the table too. */
export function released(
  table: LeaseTable,
  holder: string,
  what: { readonly buckets: readonly number[] | 'all'; readonly positions: Acknowledged; readonly leave: boolean },
): LeaseTable {
  const leases = table.leases.map((lease, bucket) => {
    if (lease.holder !== holder || !(what.buckets === 'all' || what.buckets.includes(bucket))) return lease
    return { ...lease, holder: null, position: positionOf(lease, bucket, what.positions) }
  })
  return { ...table, leases, ...(what.leave && { holders: table.holders.filter((each) => each !== holder) }) }
}

/** Every holder keeps its buckets and starts over from there. */
export function sought(table: LeaseTable, position: number): LeaseTable {
  return { ...table, leases: table.leases.map((lease) => ({ ...lease, term: lease.term + 1, position })) }
}

/** The topic was made anew, so what is known of the old one says nothing: everything that the new one has is delivered. */
export function restarted(table: LeaseTable, created: string, buckets: number): LeaseTable {
  const leases = Array.from({ length: buckets }, (_, bucket) => {
    const { holder = null, term = 0 } = table.leases[bucket] ?? {}
    return { holder, term: term + 1, position: 0 }
  })
  return { ...table, created, leases }
}

export function positionOf(lease: Lease, bucket: number, acknowledged: Acknowledged): number {
  const own = acknowledged.find(([each, term]) => each === bucket && term === lease.term)
  return Math.max(lease.position, own?.[2] ?? 0)
}
