import type { Guarantees } from 'comity/transport'

export const DAY: number = 24 * 60 * 60 * 1000

/** What Pub/Sub promises under the settings of `provision`; with another `retention`, the window follows it. */
export const googlePubsubGuarantees: Guarantees = Object.freeze({
  // Documented for subscriptions with message ordering. Google's emulator keeps it until something is redelivered; the README has the difference.
  orderPerBucket: true,
  // A bucket stays with one stream while messages of it are outstanding, but nothing forbids another process once they have expired.
  oneProcessPerBucket: false,
  durable: true,
  replay: true,
  // The API tells no backlog; only Cloud Monitoring does, minutes late. The engine's heartbeats say how far behind a team is.
  stats: false,
  remove: true,
  // A claim needs a register that everyone reads whole; a queue that hides what somebody else is reading is none (README).
  claims: false,
  fencing: false,
  dedupeWindow: 0,
  redeliveryWindow: 7 * DAY,
  limits: Object.freeze({ batchMessages: 1000, batchBytes: 16 * 1024 * 1024, messageBytes: 9 * 1024 * 1024 }),
  access: Object.freeze(['gcloud', 'terraform']),
})
