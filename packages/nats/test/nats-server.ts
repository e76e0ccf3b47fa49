import { afterAll, beforeAll, describe } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'

export type NatsServer = Awaited<ReturnType<typeof launchBroker>>

/** Tests of a file share a server of their own; where nats-server is missing they are skipped, and say so. */
export function onNats(name: string, body: (server: () => NatsServer) => void, extra = ''): void {
  const here: boolean = brokerIsHere('nats')
  describe.skipIf(!here)(here ? name : `${name} (skipped: nats-server is not installed; Debian's package has its name)`, () => {
    let server: NatsServer
    beforeAll(async () => {
      server = await launchBroker('nats', { config: extra })
    })
    afterAll(() => server?.close())
    body(() => server)
  })
}
