/** What can be told from one look at the teams. */
import { EmailSent } from '../contracts.ts'
import type { Look } from './director.ts'

/** Everything that was announced has reached everybody, or waits. */
export function isSettled({ status, holds }: Look): boolean {
  const { unfinished, sent, delivered, copies } = holds.marketing
  const { customers, thirdParty } = holds.crm
  const arrived =
    copies === customers && holds.billing?.copies === customers && thirdParty === sent && sentOrWaiting({ status, holds }) >= sent
  const idle = Object.values(status).every(
    ({ outbox, subscriptions }) =>
      // What was put aside to make room goes on by itself; a dead letter and its followers wait for somebody.
      outbox.pending === 0 && subscriptions.every(({ lag, waitingKeys, waitingFor }) => lag === 0 && waitingKeys === waitingFor.parked),
  )
  return idle && arrived && unfinished === 0 && sent === delivered
}

/** All emails were sent and delivered, and all others know it. */
export function campaignIsOver(look: Look): boolean {
  const { unfinished, sent, delivered } = look.holds.marketing
  return unfinished === 0 && sent > 0 && sent === delivered && sentOrWaiting(look) === sent && look.holds.crm.thirdParty === sent
}

/** At Data Analysis. */
function sentOrWaiting({ status, holds }: Look): number {
  const waiting = status['data-analysis'].subscriptions.reduce((sum, subscription) => sum + subscription.waiting, 0)
  return holds['data-analysis'].sent + waiting
}

/** Is nothing that was sent before that moment still on its way? */
export function caughtUpSince(look: Look, since: number): boolean {
  const copy = look.status.marketing.subscriptions[0]
  const elapsed = (performance.now() - since) / 1000
  const oldest = copy?.oldestSeconds ?? Number.POSITIVE_INFINITY
  // Processes that have nothing say little before they have had something.
  const heard = copy?.lagFrom === 'broker' || Date.parse(copy?.lastAt ?? '') > Date.now() - elapsed * 1000
  return heard && (lagOfMarketing(look) === 0 || oldest < elapsed)
}

/** Marketing has one subscription, of its copy. */
export function lagOfMarketing({ status }: Look): number {
  return status.marketing.subscriptions[0]?.lag ?? Number.POSITIVE_INFINITY
}

export function emailsSentOf({ status }: Look): { readonly name: string; readonly waitingKeys: number; readonly waiting: number } {
  return status['data-analysis'].subscriptions.find(({ topic }) => topic === EmailSent.name) ?? { name: '', waitingKeys: 0, waiting: 0 }
}

export function waitingAt(look: Look): { readonly keys: number; readonly messages: number } {
  const { waitingKeys, waiting } = emailsSentOf(look)
  return { keys: waitingKeys, messages: waiting }
}
