import { adapterLaws } from './adapter-laws.ts'
import { pooledLibraries } from './pooled-libraries.ts'

// On the newest Postgres only: what differs between servers is pg's business, and these all stand on pg.
for (const [name, open] of Object.entries(pooledLibraries)) adapterLaws(name, open, 'npm')
