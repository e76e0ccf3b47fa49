#!/usr/bin/env node
import { main } from '../dist/index.js'

const code = await main(process.argv.slice(2))
// A configuration may hold connections open; what was printed goes out first.
process.stdout.write('', () => process.exit(code))
