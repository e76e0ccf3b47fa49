import { type Declaration, inNamespace } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { systemSubscriptions } from '../control/system-topics.ts'
import { logEvent, systemClock } from '../foundation/index.ts'
import { SubscriptionUnknown } from '../transport/index.ts'
import { NotProvisioned } from './errors.ts'

/** A broker that does not answer by then, in milliseconds, keeps nobody from starting. */
const PATIENCE = 3000

/**
 * Looks, before a team starts, whether the broker knows the subscriptions of control that it declared: without them it would be commanded,
 * and heard, by nobody, and nothing else would say so. What every team has without asking, its topics of control, keeps no team from starting:
 * a team that was not provisioned after an upgrade works as before. Throws COMITY_NOT_PROVISIONED.
 */
export async function verifySubscribed(declaration: Declaration, { team, namespace, transport, logger }: Environment): Promise<void> {
  const names = systemSubscriptions(declaration).map(({ name }) => inNamespace(namespace, name))
  if (names.length === 0 || transport.stats === undefined) return
  const enough = new AbortController()
  const asked = transport.stats(names).catch((error: unknown) => {
    if (error instanceof SubscriptionUnknown)
      throw new NotProvisioned({ team, missing: error.message.split('\n')[0] as string }, { cause: error })
    logEvent(logger, 'comity.control.unverified', { error })
  })
  await Promise.race([asked, systemClock.sleep(PATIENCE, enough.signal)]).finally(() => enough.abort())
}
