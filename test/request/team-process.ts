import { type KilledProcessOptions, killedProcess, runsForItsParent } from '../support/killed-process.ts'
import { type Side, sides } from './sides.ts'

/** What a process of one of the teams is told, as JSON in its first argument. */
export interface TeamProcessOptions extends KilledProcessOptions {
  readonly side: Side
}

const { side, ...options } = JSON.parse(process.argv[2] as string) as TeamProcessOptions
const { database, ...others } = await killedProcess(options)
const team = sides[side].with({ database: database as never, ...others })
await team.start()
runsForItsParent()
