/** CRM's process: it only lets Comity run. Its clerks and jobs write plain SQL, from wherever they are. */
import { runService } from '../story/run-service.ts'
import crm from './comity.config.ts'

await runService(crm)
