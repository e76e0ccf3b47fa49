import { type ContractDescription, entity, type JsonSchema } from '@comity/contract'
import { expect, test } from 'vitest'
import { type Consumer, consumerVerdict, type Verdict } from '../../src/catalog/contract-check.ts'

/** The classic changes of a contract, and what each means for those who read it. */
const text = { type: 'string' } as const
const FIELDS: Readonly<Record<string, JsonSchema>> = {
  id: text,
  email: text,
  name: text,
  phone: text,
  status: { enum: ['active', 'closed'] },
  balance: { type: 'integer' },
  note: { type: 'string', maxLength: 100 },
}
const REQUIRED = ['id', 'email', 'name', 'status', 'balance', 'note']

function customer(
  fields: Readonly<Record<string, JsonSchema | undefined>> = {},
  required: readonly string[] = REQUIRED,
): ContractDescription {
  const properties = Object.fromEntries(Object.entries({ ...FIELDS, ...fields }).filter(([, schema]) => schema !== undefined))
  return entity('crm.customer', { key: 'id', state: { type: 'object', properties, required: required.filter((one) => one in properties) } })
}

const published = customer()
const consumer = (kind: Consumer['kind'], fields?: readonly string[]): Consumer => ({
  ...{ team: 'marketing', kind, subscription: `marketing.${kind}`, knows: published },
  ...(fields === undefined ? {} : { fields }),
})

interface Change {
  readonly name: string
  readonly next: ContractDescription
  /** Of a copy that keeps the field, one that does not, a handler that says which fields it reads, and one that does not say. */
  readonly verdicts: readonly [keeps: Verdict, keepsOthers: Verdict, reads: Verdict, unsaid: Verdict]
  readonly field: string
  /** What a reader of the new version refuses of older messages. */
  readonly older?: string
}

const CHANGES: readonly Change[] = [
  {
    name: 'a field renamed',
    next: customer({ name: undefined, fullName: text }, [...REQUIRED, 'fullName']),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'name',
    older: 'fullName',
  },
  {
    name: 'a required field removed',
    next: customer({ name: undefined }),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'name',
  },
  {
    name: 'an optional field removed',
    next: customer({ phone: undefined }),
    verdicts: ['broken', 'unaffected', 'broken', 'possibly'],
    field: 'phone',
  },
  {
    name: 'optional becomes required',
    next: customer({}, [...REQUIRED, 'phone']),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'phone',
    older: 'phone',
  },
  {
    name: 'required becomes optional',
    next: customer(
      {},
      REQUIRED.filter((one) => one !== 'email'),
    ),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'email',
  },
  {
    name: 'an optional field added',
    next: customer({ city: text }),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'email',
  },
  {
    name: 'a required field added',
    next: customer({ city: text }, [...REQUIRED, 'city']),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'email',
    older: 'city',
  },
  {
    name: 'an enum widened',
    next: customer({ status: { enum: ['active', 'closed', 'frozen'] } }),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'status',
  },
  {
    name: 'an enum narrowed',
    next: customer({ status: { enum: ['active'] } }),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'status',
    older: 'status',
  },
  {
    name: 'integer becomes number',
    next: customer({ balance: { type: 'number' } }),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'balance',
  },
  {
    name: 'null allowed',
    next: customer({ email: { type: ['string', 'null'] } }),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'email',
  },
  {
    name: 'a bound tightened',
    next: customer({ note: { type: 'string', maxLength: 50 } }),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'note',
    older: 'note',
  },
  {
    name: 'a bound loosened',
    next: customer({ note: { type: 'string', maxLength: 200 } }),
    verdicts: ['broken', 'unaffected', 'broken', 'broken'],
    field: 'note',
  },
  {
    name: 'a format added',
    next: customer({ email: { type: 'string', format: 'email' } }),
    verdicts: ['unaffected', 'unaffected', 'unaffected', 'unaffected'],
    field: 'email',
    older: 'email',
  },
]

test.each(CHANGES)('$name', ({ next, verdicts, field, older }) => {
  const others = field === 'email' ? ['name'] : ['email']
  const consumers = [consumer('copy', [field]), consumer('copy', others), consumer('handler', [field]), consumer('handler')]
  const answers = consumers.map((one) => consumerVerdict(one, published, next, [published]))
  expect(answers.map(({ verdict }) => verdict)).toEqual(verdicts)
  for (const { verdict, reasons } of answers) expect(reasons.map((one) => one.field)).toEqual(verdict === 'unaffected' ? [] : [field])
  // Who takes over the new version has to lift what lies in queues and retention; a copy only where it keeps the field.
  expect(answers.map((one) => one.older.map((reason) => reason.field))).toEqual([
    older === field ? [field] : [],
    [],
    older === field ? [field] : [],
    older === undefined ? [] : [older],
  ])
})

test('what a consumer has of the contract counts, not what is published', () => {
  const earlier = customer({ status: { enum: ['active', 'closed', 'frozen'] } })
  const next = customer({ status: { enum: ['active', 'frozen'] } })
  const copy = consumer('copy', ['status'])
  expect(consumerVerdict(copy, published, next, []).verdict).toBe('broken')
  expect(consumerVerdict({ ...copy, knows: earlier }, published, next, []).verdict).toBe('unaffected')
})

test('where its version is not known, a change of what it reads may affect it', () => {
  const { knows: _, ...copy } = consumer('copy', ['status'])
  const narrowed = customer({ status: { enum: ['active'] } })
  expect(consumerVerdict(copy, published, narrowed, []).verdict).toBe('possibly')
  expect(consumerVerdict(copy, published, published, []).verdict).toBe('unaffected')
  expect(consumerVerdict({ ...copy, fields: ['email'] }, published, narrowed, []).verdict).toBe('unaffected')
})

test('another key, another kind, an audience that is gone, and the end of a contract break everybody', () => {
  const state = published.schema as JsonSchema
  const byEmail = entity('crm.customer', { key: 'email', state })
  const granted = entity('crm.customer', { key: 'id', state, audiences: { partners: ['email'] } })
  const copy = consumer('copy', ['email'])
  for (const next of [byEmail, granted, undefined]) expect(consumerVerdict(copy, published, next, []).verdict).toBe('broken')
  const partner = { ...copy, audience: 'partners', knows: granted }
  expect(consumerVerdict(partner, granted, granted, []).verdict).toBe('unaffected')
  expect(consumerVerdict(partner, granted, published, []).reasons[0]?.reason).toContain('no longer granted')
})
