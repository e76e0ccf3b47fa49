import { type BrokerName, launchBroker } from '../../../scripts/brokers.mjs'
import { type Bus, busAt } from './bus.ts'

/** NATS, or Google's emulator: a real server each, with files of its own. */
export async function launchBrokerBus(kind: BrokerName): Promise<Bus> {
  const launched = await launchBroker(kind)
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
  return busAt({ kind, url: launched.url }, broker, () => launched.close())
}
