import { type KilledProcessOptions, killedProcess, runsForItsParent } from '../support/killed-process.ts'
import { type Side, sides } from './customers.ts'

/** What a process of one of the teams is told, as JSON in its first argument. */
export interface TeamProcessOptions extends KilledProcessOptions {
  readonly side: Side
}

const { side, ...options } = JSON.parse(process.argv[2] as string) as TeamProcessOptions
await sides[side]()
  .with(await killedProcess(options))
  .start()
runsForItsParent()
