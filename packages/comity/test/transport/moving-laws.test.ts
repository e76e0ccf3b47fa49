import { afterAll, describe, test } from 'vitest'
import { transportLaws } from '../../src/testing/transport-laws.ts'
import { type MemoryTransport, memoryBus, movingTransport } from '../../src/transport/index.ts'
import { memoryMoveRecords } from './memory-move-records.ts'

/** Before the switch: a margin of an hour keeps it at the old one. After it: a margin of nothing, and a queue of the laws' own messages. */
const stages = { 'still at the old one': 3_600_000, 'while it switches': 40 }

for (const [stage, margin] of Object.entries(stages)) {
  const [from, to] = [memoryBus({ claimSilence: 300 }), memoryBus({ claimSilence: 300 })] as const
  const records = memoryMoveRecords()
  const connected = new Map<object, readonly MemoryTransport[]>()
  const connect = () => {
    const both = [from.connect(), to.connect()] as const
    const moving = movingTransport({ from: both[0], to: both[1], records, margin })
    connected.set(moving, both)
    return moving
  }
  transportLaws(
    {
      name: `moving, ${stage}`,
      guarantees: connect().guarantees,
      claimSilence: 300,
      create: async () => ({
        connect: async () => connect(),
        crash: async (transport) => {
          for (const one of connected.get(transport) ?? []) one.crash()
        },
        dispose: async () => undefined,
      }),
    },
    { describe, test, afterAll },
  )
}
