import type { Guarantees } from './guarantees.ts'

/** What both of two brokers can, as one value: where one alone can't, the pair can't. */
export function commonGuarantees(from: Guarantees, to: Guarantees): Guarantees {
  return Object.freeze({
    orderPerBucket: from.orderPerBucket && to.orderPerBucket,
    // While a subscription switches, one process may read a bucket at the old broker and another one at the new.
    oneProcessPerBucket: false,
    durable: from.durable && to.durable,
    replay: from.replay && to.replay,
    stats: from.stats && to.stats,
    remove: from.remove && to.remove,
    claims: from.claims && to.claims,
    fencing: from.fencing && to.fencing,
    dedupeWindow: Math.min(from.dedupeWindow, to.dedupeWindow),
    redeliveryWindow: Math.max(from.redeliveryWindow, to.redeliveryWindow),
    limits: Object.freeze({
      batchMessages: Math.min(from.limits.batchMessages, to.limits.batchMessages),
      batchBytes: Math.min(from.limits.batchBytes, to.limits.batchBytes),
      messageBytes: Math.min(from.limits.messageBytes, to.limits.messageBytes),
    }),
    // Rights at the old one are there already.
    access: to.access,
  })
}
