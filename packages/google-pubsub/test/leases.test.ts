import { systemClock } from 'comity/transport'
import { expect, test, vi } from 'vitest'
import { Leases } from '../src/leases.ts'

class Passing extends Error {}

function leases(acknowledge: (ackIds: string[]) => Promise<unknown>) {
  const modified: [string[], number][] = []
  return {
    modified,
    leases: new Leases({
      acknowledge,
      modify: async (ackIds, seconds) => modified.push([ackIds, seconds]),
      isPassing: (error) => error instanceof Passing,
      ackDeadline: 0.05,
      clock: systemClock,
    }),
  }
}

test('acknowledgements that the service did not take are said again, all that accumulated meanwhile in one request, and in order', async () => {
  const requests: string[][] = []
  let failures = 2
  const { leases: held } = leases(async (ackIds) => {
    requests.push(ackIds)
    if (failures === 2) held.acknowledge(['c'])
    if (failures-- > 0) throw new Passing()
  })
  held.acknowledge(['a', 'b'])
  await held.said()
  expect(requests).toEqual([
    ['a', 'b'],
    ['a', 'b', 'c'],
    ['a', 'b', 'c'],
  ])
})

test('an acknowledgement that is refused for good is not repeated: its message comes again', async () => {
  const requests: string[][] = []
  const { leases: held } = leases(async (ackIds) => {
    requests.push(ackIds)
    throw new Error('no such subscription')
  })
  held.acknowledge(['a'])
  await held.said()
  expect(requests).toEqual([['a']])
})

test('a service that never answers is asked no more when the receive is over: else its process would never end', async () => {
  let requests = 0
  const { leases: held } = leases(async () => {
    requests++
    throw new Passing()
  })
  held.acknowledge(['a'])
  await vi.waitFor(() => expect(requests).toBeGreaterThan(1), 60_000)
  held.close()
  await held.said()
})

test('what is held is extended, what has ended or is given back is not', async () => {
  const { leases: held, modified } = leases(async () => undefined)
  for (const ackId of ['a', 'b', 'c']) held.hold(ackId)
  const keeping = held.keep()
  await vi.waitFor(() => expect(modified).toContainEqual([['a', 'b', 'c'], 0.05]), 60_000)
  held.acknowledge(['a'])
  await held.shorten(['b'], 1)
  expect(modified).toContainEqual([['b'], 1])
  await vi.waitFor(() => expect(modified.at(-1)).toEqual([['c'], 0.05]), 60_000)
  held.close()
  await keeping
})
