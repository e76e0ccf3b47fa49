import { type ContractDescription, type Envelope, fromAttributes, teamOfSource } from '@comity/contract'
import type { HandOver } from '../transport/marks.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import { ForgedMessage, UnreadableMessage } from './errors.ts'
import { isOwner } from './owners.ts'

/** A message that was read: its envelope, and its data still as text. */
export interface Message {
  readonly incoming: IncomingMessage
  readonly envelope: Envelope
}

/** What became of one delivered message. Every one ends in exactly one of these, and is counted there. */
export type Outcome =
  | 'applied'
  /** Its effect had happened before. */
  | 'duplicate'
  /** A replica holds a newer state. */
  | 'stale'
  /** It stands in the line of its key. */
  | 'waiting'
  /** Ended by name, without effect. */
  | 'discarded'

/**
 * verify + decode. Throws what makes the message unfit for ever.
 * @param handOvers of its contract that were heard here, the oldest first
 */
export function readMessage(incoming: IncomingMessage, contract: ContractDescription, handOvers: readonly HandOver[] = []): Message {
  let envelope: Envelope
  try {
    envelope = fromAttributes(incoming.attributes)
  } catch (cause) {
    throw new UnreadableMessage({ problem: (cause as Error).message }, { cause })
  }
  // A request comes from any team that the broker lets send to the owner's topic; everything else from the owner alone.
  const team = teamOfSource(envelope.source)
  const isTheirs = team !== undefined && (contract.contractKind === 'request' || isOwner(contract, handOvers, team, envelope.version))
  if (!isTheirs || envelope.type !== contract.name) {
    throw new ForgedMessage({ source: envelope.source, type: envelope.type })
  }
  if (envelope.subject !== incoming.key) throw new UnreadableMessage({ problem: 'its key is not its subject' })
  return { incoming, envelope }
}
