/** Billing's process: it only lets Comity run. */
import { runService } from '../story/run-service.ts'
import billing from './comity.config.ts'

await runService(billing)
