import { entity, event } from '@comity/contract'
import { type Duration, type Queryable, type Team, type TeamOptions, team } from 'comity'
import { z } from 'zod'

/** The agency of the story: three teams, each with its own database, on the broker that the environment names. */
const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string(), name: z.string() }) })
const EmailSent = event('marketing.email-sent', { key: 'customerId', data: z.object({ customerId: z.string(), n: z.int() }) })

const common: TeamOptions<Queryable> = {
  lease: (process.env.AGENCY_LEASE ?? '2s') as Duration,
  moving: { margin: (process.env.AGENCY_MARGIN ?? '400ms') as Duration },
  allowUnsafe: true,
}
const options = (name: string): TeamOptions<Queryable> => ({ ...common, database: process.env[`${name.toUpperCase()}_URL`] })

function withEffects(one: Team<Queryable>): Team<Queryable> {
  return one.on(EmailSent, async ({ id, key, data }, { tx }) => {
    await tx.query('insert into effects (message, key, n) values ($1::text, $2::text, $3::int)', [id, key, data.n])
  })
}

export const crm: Team<Queryable> = withEffects(team('crm', options('crm')).owns(Customer))
export const marketing: Team<Queryable> = team('marketing', options('marketing'))
  .keeps(Customer, { fields: ['email', 'name'] })
  .publishes(EmailSent)
export const analysis: Team<Queryable> = withEffects(team('analysis', options('analysis')))

export default [crm, marketing, analysis]
