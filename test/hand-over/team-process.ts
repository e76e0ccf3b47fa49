import { setTimeout as pause } from 'node:timers/promises'
import { type KilledProcessOptions, killedProcess, runsForItsParent } from '../support/killed-process.ts'
import { type Side, sides } from './sides.ts'

/** What a process of one of the teams is told, as JSON in its first argument. */
export interface TeamProcessOptions extends KilledProcessOptions {
  readonly side: Side
  /** It migrates and ends, as soon as that is not refused. */
  readonly migrates?: boolean
}

const { side, migrates = false, ...options } = JSON.parse(process.argv[2] as string) as TeamProcessOptions
const { database, ...others } = await killedProcess(options)
const team = sides[side].with({ database: database as never, ...others })
if (migrates) {
  for (let done = false; !done; ) {
    done = await team.migrate().then(
      () => true,
      async (error: { readonly code?: string }) => {
        if (error.code !== 'COMITY_TAKE_OVER_REFUSED') throw error
        await pause(20)
        return false
      },
    )
  }
  await team.provision()
  process.exit(0)
}
await team.start()
runsForItsParent()
