/**
 * One run of one stage: `node --import ./scripts/typescript.mjs test/mutants/run-stage.ts <stage> <seed>`. One JSON line, the judgement, on
 * standard output. The databases come from whoever runs it (see test/support/postgres.ts).
 */
import { fileURLToPath } from 'node:url'
import { Random } from '../chaos/random.ts'
import { World } from '../chaos/world.ts'
import { launchBus } from '../support/buses/launch-bus.ts'
import { CrashableServer } from '../support/crashable-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { STAGES, type Stage, type StageName } from './stages.ts'

const [name, given] = process.argv.slice(2) as [StageName, string]
const seed = Number(given)
const stage: Stage = STAGES[name]
const owner = stage.restorable ? await CrashableServer.start() : undefined
const fresh = async (): Promise<string> => (await freshDatabase()).url
const urls = {
  shop: (await owner?.createDatabase('shop')) ?? (await fresh()),
  mail: await fresh(),
  stock: await fresh(),
}
const folder = fileURLToPath(new URL(`../output/stage-${name}-${seed}/`, import.meta.url))
const bus = await launchBus('postgres', { claimSilence: 800 })
const world = await World.create({ seed, folder, urls, bus })
try {
  await stage.run(world, new Random(seed), owner as CrashableServer)
  console.log(JSON.stringify(await world.judge({ timeout: 20_000 })))
} finally {
  await world.close()
  await owner?.close()
}
process.exit(0)
