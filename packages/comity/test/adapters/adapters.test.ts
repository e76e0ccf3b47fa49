import { systemPostgresIsHere } from '../../../../test/support/postgres.ts'
import { adapterLaws } from './adapter-laws.ts'
import { libraries } from './libraries.ts'

for (const [name, open] of Object.entries(libraries)) {
  adapterLaws(name, open, 'npm')
  if (systemPostgresIsHere) adapterLaws(name, open, 'system')
}
