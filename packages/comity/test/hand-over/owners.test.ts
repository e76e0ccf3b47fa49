import { bucketOf } from '@comity/contract'
import { expect, test } from 'vitest'
import { isOwner } from '../../src/subscription/owners.ts'
import { type HandOver, passingMarks, type RelayMark, relayMarks } from '../../src/transport/marks.ts'
import type { Delivery, DeliveryResult } from '../../src/transport/transport.ts'

const toAccounts: HandOver = { version: 100, owner: 'crm', next: 'accounts' }
const toBilling: HandOver = { version: 200, owner: 'accounts', next: 'billing' }
const before = { name: 'crm.customer', owner: 'crm' }
const after = { name: 'crm.customer', owner: 'accounts', former: ['crm'] }
const last = { name: 'crm.customer', owner: 'billing', former: ['crm', 'accounts'] }

const VERSIONS = [1, 100, 101, 200, 201]
test.each<[string, Parameters<typeof isOwner>[0], readonly HandOver[], Readonly<Record<string, readonly number[]>>]>([
  ['nothing was heard: as the contract says', before, [], { crm: VERSIONS }],
  ['nothing was heard, and it had another owner before', after, [], { crm: VERSIONS, accounts: VERSIONS }],
  ['one was heard: each up to it, or above it', before, [toAccounts], { crm: [1, 100], accounts: [101, 200, 201] }],
  ['one was heard, and the contract knows of it', after, [toAccounts], { crm: [1, 100], accounts: [101, 200, 201] }],
  ['two were heard', before, [toAccounts, toBilling], { crm: [1, 100], accounts: [101, 200], billing: [201] }],
  ['only the second was heard', last, [toBilling], { crm: [1, 100, 101, 200], accounts: [1, 100, 101, 200], billing: [201] }],
])('whose a version is: %s', (_, contract, heard, theirs) => {
  for (const team of ['crm', 'accounts', 'billing', 'mallory'])
    expect(
      VERSIONS.filter((version) => isOwner(contract, heard, team, version)),
      team,
    ).toEqual(theirs[team] ?? [])
})

const mark = relayMarks(100, 4, toAccounts)[0]
const delivery = (message: object): Delivery => ({
  bucket: 0,
  redelivered: false,
  message: { sentAt: new Date(), ...message } as never,
})
const data = (id: string): Delivery => delivery({ id, key: 'k', attributes: {}, data: '{}' })

function receiving() {
  const given: string[] = []
  const told: RelayMark[] = []
  let tell: { resolve: () => void; reject: (error: Error) => void } | undefined
  const handler = passingMarks(
    async (deliveries): Promise<DeliveryResult[]> => {
      given.push(...deliveries.map(({ message }) => message.id))
      return deliveries.map(() => 'ack')
    },
    (one) => {
      told.push(one)
      return new Promise<void>((resolve, reject) => {
        tell = { resolve, reject }
      })
    },
  )
  return { given, told, handler, answer: () => tell }
}
const soon = () => new Promise((resolve) => setImmediate(resolve))

test('behind a hand-over nothing of its bucket is given to anybody until that was told', async () => {
  const { given, told, handler, answer } = receiving()
  const first = handler([data('before'), delivery({ ...mark }), data('behind')])
  const second = handler([data('later')])
  await soon()
  expect(given).toEqual(['before'])
  expect(told).toMatchObject([{ version: 100, index: bucketOf(mark?.key ?? '', 4), of: 4, handOver: toAccounts }])
  answer()?.resolve()
  expect(await Promise.all([first, second])).toEqual([['ack', 'ack', 'ack'], ['ack']])
  expect(given).toEqual(['before', 'behind', 'later'])
})

test('where it could not be told, everything behind it comes again', async () => {
  const { given, handler, answer } = receiving()
  const first = handler([delivery({ ...mark }), data('behind')]).catch(() => 'failed')
  const second = handler([data('later')])
  await soon()
  answer()?.reject(new Error('the database is away'))
  expect(await first).toBe('failed')
  expect(await second).toEqual(['later'])
  expect(given).toEqual([])
  expect(await handler([data('afterwards')])).toEqual(['ack'])
})
