import { describe, expect, test } from 'vitest'
import { isOwner } from '../../src/subscription/owners.ts'
import { passingMarks, type RelayMark, relayMarks } from '../../src/transport/marks.ts'
import type { Delivery, DeliveryResult } from '../../src/transport/transport.ts'

const before = { name: 'crm.customer', owner: 'crm' }
const after = { name: 'crm.customer', owner: 'accounts', former: ['crm'] }
const given = { version: 100, owner: 'crm', next: 'accounts' }
const on = { version: 200, owner: 'accounts', next: 'sales' }
const back = { version: 300, owner: 'sales', next: 'crm' }

describe('whose a version is', () => {
  test.each([
    ['nothing heard: its owner', before, [], 'crm', 7, true],
    ['nothing heard: another team', before, [], 'accounts', 7, false],
    ['nothing heard, deployed before the hand-over: who still has it', after, [], 'crm', 7, true],
    ['nothing heard, joined after the hand-over: who has it now', after, [], 'accounts', 7, true],
    ['nothing heard: neither of them', after, [], 'sales', 7, false],
    ['the last of the old owner', before, [given], 'crm', 100, true],
    ['above it', before, [given], 'crm', 101, false],
    ['the next owner, above', before, [given], 'accounts', 101, true],
    ['the next owner, at it', before, [given], 'accounts', 100, false],
    ['the same with the contract of after', after, [given], 'crm', 101, false],
    ['of a hand-over that the contract does not know: an older owner’s', after, [on], 'crm', 50, true],
    ['of a hand-over that the contract does not know: its owner’s', after, [on], 'accounts', 150, true],
    ['handed on: the one between', before, [given, on], 'accounts', 200, true],
    ['handed on: the one between, too late', before, [given, on], 'accounts', 201, false],
    ['handed on', before, [given, on], 'sales', 201, true],
    ['back where it was', before, [given, on, back], 'crm', 301, true],
    ['back where it was, between', before, [given, on, back], 'crm', 250, false],
    ['joined after the first: an older owner’s', { ...after, owner: 'sales', former: ['crm', 'accounts'] }, [on], 'crm', 50, true],
    [
      'joined after the first: who comes later is not older',
      { ...after, owner: 'sales', former: ['crm', 'accounts'] },
      [on],
      'sales',
      50,
      false,
    ],
  ] as const)('%s', (_, contract, handOvers, team, version, expected) => {
    expect(isOwner(contract, handOvers, team, version)).toBe(expected)
  })
})

describe('a mark of a hand-over', () => {
  const [mark] = relayMarks(100, 1, given)
  const message = (id: string): Delivery => ({
    message: { id, key: id, attributes: {}, data: '', sentAt: new Date() },
    ...{ bucket: 0, redelivered: false },
  })
  const handOver = (): Delivery => ({ ...message('mark'), message: { ...(mark as NonNullable<typeof mark>), sentAt: new Date() } })

  function passing(told: (mark: RelayMark) => Promise<void>) {
    const order: string[] = []
    let answer: (id: string) => DeliveryResult = () => 'ack'
    const handler = passingMarks(
      async (deliveries) => {
        order.push(...deliveries.map(({ message: { id } }) => id))
        await new Promise((resolve) => setTimeout(resolve, 1))
        return deliveries.map(({ message: { id } }) => answer(id))
      },
      async (passed) => {
        await told(passed)
        order.push(`told ${passed.handOver?.next}`)
      },
    )
    return { order, handler, answers: (as: typeof answer) => (answer = as) }
  }

  test('stands between what was before it and what comes after it, in one call and in the next', async () => {
    const { order, handler } = passing(() => new Promise((resolve) => setTimeout(resolve, 5)))
    const results = await Promise.all([
      handler([message('a'), handOver(), message('b'), message('c')]),
      handler([message('d')]),
      handler([{ ...message('elsewhere'), bucket: 1 }]),
    ])
    expect(results).toEqual([['ack', 'ack', 'ack', 'ack'], ['ack'], ['ack']])
    expect(order.filter((one) => one !== 'elsewhere')).toEqual(['a', 'told accounts', 'b', 'c', 'd'])
    expect(order.indexOf('elsewhere')).toBeLessThan(order.indexOf('told accounts'))
  })

  test('comes again with what is behind it, as long as something before it has not ended', async () => {
    const { order, handler, answers } = passing(async () => undefined)
    answers((id) => (id === 'a' ? 'later' : 'ack'))
    expect(await Promise.all([handler([message('a'), handOver(), message('b')]), handler([message('c')])])).toEqual([
      ['later', 'later', 'later'],
      ['later'],
    ])
    expect(order).toEqual(['a'])
    answers(() => 'ack')
    expect(await handler([message('a'), handOver(), message('b')])).toEqual(['ack', 'ack', 'ack'])
    expect(order).toEqual(['a', 'a', 'told accounts', 'b'])
  })

  test('and as long as it could not be told', async () => {
    let fails = true
    const { order, handler } = passing(async () => {
      if (fails) throw new Error('no database')
    })
    const [first, second] = await Promise.allSettled([handler([handOver(), message('b')]), handler([message('c')])])
    expect(first).toMatchObject({ status: 'rejected' })
    expect(second).toMatchObject({ status: 'fulfilled', value: ['later'] })
    expect(order).toEqual([])
    fails = false
    expect(await handler([handOver(), message('b')])).toEqual(['ack', 'ack'])
    expect(order).toEqual(['told accounts', 'b'])
  })
})
