import { full } from '../../../../test/support/full.ts'
import { systemPostgresIsHere } from '../../../../test/support/postgres.ts'
import { adapterLaws } from './adapter-laws.ts'
import { libraries } from './libraries.ts'

for (const [name, open] of Object.entries(libraries)) {
  adapterLaws(name, open, 'npm')
  // What differs between libraries does not differ between servers: one library asks both.
  if (systemPostgresIsHere && (full || name === Object.keys(libraries)[0])) adapterLaws(name, open, 'system')
}
