import { afterAll, describe, test } from 'vitest'
import { transportLaws } from '../../src/testing/transport-laws.ts'
import type { MemoryTransport } from '../../src/transport/index.ts'
import { memoryBus } from '../../src/transport/index.ts'

const bus = memoryBus({ claimSilence: 300 })

transportLaws(
  {
    name: 'memory',
    guarantees: bus.guarantees,
    claimSilence: 300,
    create: async () => ({
      connect: async () => bus.connect(),
      crash: async (transport) => (transport as MemoryTransport).crash(),
      dispose: async () => undefined,
    }),
  },
  { describe, test, afterAll },
)
