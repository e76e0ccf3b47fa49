import type { MoveProgress, MoveRecords } from '../../src/transport/index.ts'

/** The records of a move in memory, for tests of the transport alone; those in a database are tested with teams. */
export function memoryMoveRecords(): MoveRecords {
  const moves = new Map<string, MoveProgress>()
  let starts = 0
  // Told apart even within a millisecond.
  const begun = (): MoveProgress => ({
    startedAt: new Date().toISOString().replace('Z', `${String(starts++ % 1000).padStart(3, '0')}Z`),
    sentAt: undefined,
    switched: false,
    generation: 0,
  })
  const at = (subscription: string): MoveProgress => {
    const known = moves.get(subscription) ?? begun()
    moves.set(subscription, known)
    return known
  }
  return {
    progress: async (subscription) => at(subscription),
    switched: async (subscriptions) => new Set(subscriptions.filter((name) => moves.get(name)?.switched)),
    async seen(subscription, sentAt, since) {
      const known = at(subscription)
      if (known.startedAt === since.startedAt && known.sentAt === undefined) moves.set(subscription, { ...known, sentAt })
    },
    async switch(subscription, since) {
      const known = at(subscription)
      if (known.startedAt === since.startedAt) moves.set(subscription, { ...known, switched: true })
    },
    async restart(subscription) {
      if (moves.get(subscription)?.switched) return false
      moves.set(subscription, begun())
      return true
    },
  }
}
