import { backoff, type Clock, type Logger, logEvent, type Service, service, silentLogger, systemClock } from '../foundation/index.ts'
import type { DeliveryHandler, Transport } from '../transport/transport.ts'

/**
 * Receives one subscription of a system topic until it is stopped. Beside the pipeline of `subscription/`: these messages change
 * no table of the team's, need no order with them and no waiting line, and none of them may ever stop the others.
 */
export function systemReceiver(options: {
  /** The broker's name of it. */
  readonly subscription: string
  readonly transport: Transport
  readonly handler: DeliveryHandler
  /** Waits until this process may receive; the signal that it answers aborts when it no longer may. */
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  readonly clock?: Clock
  readonly logger?: Logger
}): Service {
  const { subscription, transport, handler, cleared, clock = systemClock, logger = silentLogger } = options

  let failing = false

  /** What can't be kept now comes again. */
  const handle: DeliveryHandler = async (deliveries) => {
    try {
      const results = await handler(deliveries)
      failing = false
      return results
    } catch (error) {
      if (!failing) logEvent(logger, 'comity.control.not_kept', { subscription, error })
      failing = true
      return deliveries.map(() => 'later')
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        await transport.receive(subscription, handle, { signal: await cleared(signal) })
        failures = 0
      } catch (error) {
        if (signal.aborted) break
        // Once: a subscription that nobody provisioned would fill the log.
        if (failures === 0) logEvent(logger, 'comity.control.not_received', { subscription, error })
        await clock.sleep(backoff(failures++, { min: 100, max: 10_000 }) + 50, signal)
      }
    }
  }
  return service({ name: `control of ${subscription}`, run })
}
