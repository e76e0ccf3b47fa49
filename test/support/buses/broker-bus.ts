import { type BrokerName, launchBroker } from '../../../scripts/brokers.mjs'
import { type Bus, busAt, type LaunchBusOptions } from './bus.ts'

/** NATS, or Google's emulator: a real server each, with files of its own. */
export async function launchBrokerBus(kind: BrokerName, { claimSilence }: LaunchBusOptions): Promise<Bus> {
  const launched = await launchBroker(kind)
  const url = new URL(launched.url)
  if (kind === 'nats' && claimSilence !== undefined) url.searchParams.set('claimSilence', String(claimSilence))
  // The shortest that there is: so soon somebody else has what a dead process had.
  if (kind === 'google-pubsub') url.searchParams.set('ackDeadline', '10s')
  const broker = {
    get pid() {
      return launched.pid
    },
    // The emulator keeps topics, subscriptions and messages in its memory, and nowhere else.
    keepsMessages: kind !== 'google-pubsub',
    kill: () => launched.kill(),
    restart: () => launched.restart(),
    pause: () => void process.kill(launched.pid, 'SIGSTOP'),
    resume: () => void process.kill(launched.pid, 'SIGCONT'),
  }
  return busAt({ kind, url: url.href }, broker, () => launched.close())
}
