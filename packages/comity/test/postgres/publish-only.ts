import { connect } from '../../src/postgres/pool.ts'

// A process that uses a database and ends, without closing anything.
const database = connect(process.argv[2] as string)
await database.query('select 1 as x')
await database.transaction((tx) => tx.query('select 1 as x'))
process.stdout.write('done\n')
