import { defaultSubscriptionName, type Request } from '@comity/contract'
import { type Declaration, inNamespace } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { logEvent, systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import { RequestUnanswered } from './errors.ts'

/** A broker that does not answer by then, in milliseconds, keeps nobody from starting. */
const PATIENCE = 3000
const KNOWN = 'select topic from comity.asks where answered_at is not null'
const REMEMBER = 'update comity.asks set answered_at = clock_timestamp() where topic = any ($1::text::text[]) and answered_at is null'

/**
 * Looks, before a team starts, whether somebody answers what it asks: whether the broker knows the subscription by which each owner reads the request.
 * It need not be running, or ever have run: `comity provision` of the owner makes it, and from then on nothing that is asked is lost. What was once
 * known to be answered is not looked for again. A broker that can't tell keeps nobody from starting. Throws COMITY_REQUEST_UNANSWERED.
 */
export async function verifyAsked({ asks }: Declaration, environment: Environment): Promise<void> {
  const { team, namespace, database, transport, logger } = environment
  const { rows } = await database.query<{ topic: string }>(KNOWN)
  const open = asks.filter(({ name }) => !rows.some(({ topic }) => topic === name))
  const seen = await Promise.all(
    open.map(async (request): Promise<'answered' | 'nobody' | 'unknown'> => {
      const late = new AbortController()
      const [topic, reader] = [request.name, answeringSubscription(request)].map((name) => inNamespace(namespace, name)) as [string, string]
      const asked = transport.isSubscribed(topic, reader).then(
        (there) => (there ? ('answered' as const) : ('nobody' as const)),
        (error: unknown) => {
          logEvent(logger, 'comity.control.unverified', { error })
          return 'unknown' as const
        },
      )
      const end = systemClock.sleep(PATIENCE, late.signal).then(() => 'unknown' as const)
      return Promise.race([asked, end]).finally(() => late.abort())
    }),
  )
  const unanswered = open.filter((_, i) => seen[i] === 'nobody')
  if (unanswered.length > 0) {
    const owners = [...new Set(unanswered.map(({ owner }) => owner))].join(', ')
    throw new RequestUnanswered({ team, requests: unanswered.map(({ name }) => name).join(', '), owners })
  }
  const answered = open.filter((_, i) => seen[i] === 'answered').map(({ name }) => name)
  if (answered.length > 0) await database.query(REMEMBER, [arrayLiteral(answered)])
}

/** Owners can't name it otherwise: askers know it without having heard of them. */
function answeringSubscription(request: Request): string {
  return defaultSubscriptionName(request.owner, request)
}
