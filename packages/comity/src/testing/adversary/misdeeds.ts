/**
 * What an adversarial transport does, each within what the seam allows:
 *
 *   duplicate  the same deliveries are handed over again while the first are being handled, up to five times in all
 *   reorder    messages of different keys overtake each other
 *   lose       what was handled loses its acknowledgement, and all that followed it in the call, and comes again
 *   redeliver  what was acknowledged last in a bucket comes again: a suffix of it, in order, in parts
 *   pause      the messages of one key are held for a while, those of others go on
 *   late       acknowledgements arrive a while after they were given
 *   stall      nothing is delivered for a while
 *   unknown    a send was stored, and fails as if nobody knew (COMITY_TRANSPORT_UNAVAILABLE): the sender sends it again
 */
export type Misdeed = 'duplicate' | 'reorder' | 'lose' | 'redeliver' | 'pause' | 'late' | 'stall' | 'unknown'

/** How likely each is unless one says otherwise: at each call of the handler (`duplicate`: for each further copy), or of `send`. */
export const MISDEEDS: Readonly<Record<Misdeed, number>> = {
  duplicate: 0.4,
  reorder: 0.8,
  lose: 0.1,
  redeliver: 0.3,
  pause: 0.1,
  late: 0.1,
  stall: 0.02,
  unknown: 0.05,
}
