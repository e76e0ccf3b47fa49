import {
  ComityError,
  checkDistinct,
  checkName,
  checkSubscriptionName,
  checkTeamName,
  defaultSubscriptionName,
  InvalidName,
  NameCollision,
  NameTooLong,
  ReservedName,
  topicOf,
  topicsOf,
  UnknownAudience,
} from '@comity/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const segment = fc.stringMatching(/^[a-z][a-z0-9]{0,7}(?:-[a-z0-9]{1,7}){0,2}$/)

describe('names', () => {
  it('takes <team>.<thing> in kebab case', () => {
    fc.assert(
      fc.property(segment, segment, (team, thing) => {
        fc.pre(team !== 'comity')
        expect(() => checkName(`${team}.${thing}`)).not.toThrow()
        expect(() => checkTeamName(team)).not.toThrow()
        expect(() => checkSubscriptionName(`${team}.${thing}`, team)).not.toThrow()
      }),
    )
  })

  it('refuses every other text with a typed error that fits on a few lines', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('a', 'B', '.', '-', '*', '>', ' ', '1', 'é', '\0') })),
        (name) => {
          fc.pre(!/^[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/.test(name))
          const error = thrown(() => checkName(name))
          expect(error).toBeInstanceOf(InvalidName)
          expect(error.remedy).toContain('<team>.<thing>')
          expect(error.message.length).toBeLessThan(400)
        },
      ),
    )
  })

  it.each([
    ['crm..customer', 'contains ".."'],
    ['crm.Customer', 'contains capitals'],
    ['crm.cust omer', 'contains " "'],
    ['crm.*', 'contains "*"'],
    ['crm.>', 'contains ">"'],
    ['crm.customer_id', 'contains "_"'],
    ['crm.kundé', 'contains "é"'],
    ['customer', 'has 1 part between dots, not 2'],
    ['crm.customer.email', 'has 3 parts between dots, not 2'],
    ['.customer', 'starts or ends with a dot'],
    ['crm.1st', 'starts with a digit'],
    ['crm.a--b', 'hyphen that is doubled'],
    ['', 'is empty'],
  ])('says what is wrong with %j', (name, problem) => {
    expect(thrown(() => checkName(name)).message).toContain(problem)
  })

  it('refuses a value that is no text', () => {
    expect(() => checkName(undefined as unknown as string)).toThrow(InvalidName)
  })

  it('refuses names of more than 63 bytes and teams of more than 32', () => {
    expect(() => checkName(`crm.${'a'.repeat(59)}`)).not.toThrow()
    const error = thrown(() => checkName(`crm.${'a'.repeat(60)}`))
    expect(error).toBeInstanceOf(NameTooLong)
    expect(error.limit).toBe('63 bytes')
    expect(() => checkTeamName('a'.repeat(32))).not.toThrow()
    expect(() => checkTeamName('a'.repeat(33))).toThrow(NameTooLong)
  })

  it('keeps the name comity for itself', () => {
    expect(() => checkName('comity.heartbeat')).toThrow(ReservedName)
    expect(() => checkTeamName('comity')).toThrow(ReservedName)
    expect(() => checkSubscriptionName('comity.x')).toThrow(ReservedName)
    expect(() => checkName('comity-crm.customer')).not.toThrow()
  })

  it("refuses a subscription that is not the team's", () => {
    expect(() => checkSubscriptionName('crm.emails', 'marketing')).toThrow(InvalidName)
  })
})

describe('default names of subscriptions', () => {
  it('joins team and contract', () => {
    expect(defaultSubscriptionName('crm', { name: 'marketing.email-sent' })).toBe('crm.marketing-email-sent')
  })

  it('refuses what gets too long, and says how to shorten it', () => {
    const error = thrown(() => defaultSubscriptionName('data-analysis', { name: `marketing.${'a'.repeat(50)}` }))
    expect(error).toBeInstanceOf(NameTooLong)
    expect(error.remedy).toContain('`name`')
  })

  it('finds two contracts whose default names collide', () => {
    const names = ['crm-a.b', 'crm.a-b'].map((of) => ({ name: defaultSubscriptionName('team', { name: of }), of }))
    const error = thrown(() => checkDistinct('subscription', names))
    expect(error).toBeInstanceOf(NameCollision)
    expect(error.message).toContain('crm-a.b')
    expect(error.message).toContain('crm.a-b')
    expect(() => checkDistinct('subscription', names.slice(1))).not.toThrow()
  })
})

describe('topics', () => {
  it('is the name of a contract without audiences', () => {
    expect(topicOf({ name: 'crm.customer', audiences: {} })).toBe('crm.customer')
    expect(topicsOf({ name: 'crm.customer', audiences: {} })).toEqual(['crm.customer'])
  })

  it('is one per audience', () => {
    const contract = { name: 'crm.customer', audiences: { internal: ['email'], partners: [] } }
    expect(topicOf(contract, 'partners')).toBe('crm.customer.partners')
    expect(topicsOf(contract)).toEqual(['crm.customer.internal', 'crm.customer.partners'])
  })

  it('is refused without an audience where there are some, and for one that is not declared', () => {
    const contract = { name: 'crm.customer', audiences: { partners: [] } }
    expect(() => topicOf(contract)).toThrow(UnknownAudience)
    expect(() => topicOf(contract, 'toString')).toThrow(UnknownAudience)
    expect(() => topicOf({ name: 'crm.customer', audiences: {} }, 'partners')).toThrow(UnknownAudience)
  })
})

function thrown(action: () => void): ComityError {
  try {
    action()
  } catch (error) {
    if (error instanceof ComityError) return error
    throw error
  }
  return expect.unreachable('nothing was thrown')
}
