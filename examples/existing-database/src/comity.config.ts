/** All the code there is: Atlas owns a table that Comity did not design, Travel keeps a copy of four of its fields. */
import { entity } from '@comity/contract'
import { type Team, team } from 'comity'
import { z } from 'zod'

export const City = entity('atlas.city', {
  key: 'cityId',
  state: z.object({
    cityId: z.int(),
    name: z.string(),
    altName: z.string(),
    country: z.string(),
    municipality: z.string().nullable(),
    featureCode: z.string(),
    adminCode: z.string(),
    population: z.int(),
    latitude: z.number(),
    longitude: z.number(),
  }),
})

export const atlas: Team = team('atlas', { database: process.env.ATLAS_URL, transport: process.env.BUS_URL }).owns(City, {
  table: 'cities',
  columns: { municipality: 'muni' }, // the others are found by name
})

export const travel: Team = team('travel', { database: process.env.TRAVEL_URL, transport: process.env.BUS_URL }).keeps(City, {
  fields: ['name', 'country', 'population', 'featureCode'],
})
