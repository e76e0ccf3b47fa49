import { fromAttributes } from '@comity/contract'
import type { Environment } from '../../catalog/environment.ts'
import { NothingWaits } from '../../subscription/errors.ts'
import { requireInstalled } from '../installation.ts'
import { isoTime } from './iso-time.ts'
import { DEAD_LETTER_COLUMNS, type DeadLetter } from './list-dead-letters.ts'

/** A line with everything that is known of it. Times are ISO 8601. */
export interface ShownLine extends DeadLetter {
  /** Why its head waits; `parked` = it is a dead letter. */
  readonly reason: 'parked' | 'paused' | 'overflow' | 'not-yet'
  readonly head: WaitingMessage & {
    readonly attributes: Readonly<Record<string, string>>
    readonly generation: number
    readonly attempts: number
    /** The message that an operator has put this one in the place of. */
    readonly editedFrom: string | null
    /** JSON text, as it came; only when it was asked for. */
    readonly data?: string
  }
  /** The first hundred behind the head, in order. */
  readonly followers: readonly WaitingMessage[]
  /** Messages of this key that were edited, and what took their place. */
  readonly edits: readonly {
    readonly message: string
    readonly replacedBy: string
    readonly author: string
    readonly reason: string
    readonly at: string
  }[]
  /** Messages of this key that were ended without their effect. */
  readonly discards: readonly { readonly message: string; readonly author: string | null; readonly reason: string; readonly at: string }[]
}
export interface WaitingMessage {
  readonly message: string
  /** Null where the message can not be read. */
  readonly version: number | null
  /** When it was published, and when it joined the line. */
  readonly time: string
  readonly joinedAt: string
}

interface MessageRow {
  readonly message: string
  readonly time: string
  readonly joined_at: string
  readonly attributes: string
  readonly generation: number
  readonly attempts: number
  readonly edited_from: string | null
  readonly data: string | null
}

const LINE = `select ${DEAD_LETTER_COLUMNS}, k.reason from comity.waiting_keys k where k.subscription = $1::text and k.key = $2::text`
/* The head's data only when it was asked for, and nobody else's. */
const MESSAGES = `
  select w.message, ${isoTime('w.time')} as time, ${isoTime('w.appended_at')} as joined_at, w.attributes, w.generation, w.attempts, w.edited_from,
    case when $3::int = 1 and row_number() over (order by w.seq) = 1 then w.data end as data
  from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
  where k.subscription = $1::text and k.key = $2::text order by w.seq limit 101`
const EDITS = `
  select message, replaced_by as "replacedBy", author, reason, ${isoTime('edited_at')} as at
  from comity.edited where subscription = $1::text and key = $2::text order by edited_at desc limit 100`
const DISCARDS = `
  select message, author, reason, ${isoTime('discarded_at')} as at
  from comity.discarded where subscription = $1::text and key = $2::text order by discarded_at desc limit 100`

/** One line. Throws COMITY_NOTHING_WAITS. @param options with `data` the head's data is read too */
export async function showDeadLetter(
  environment: Environment,
  { subscription, key }: { readonly subscription: string; readonly key: string },
  options: { readonly data?: boolean } = {},
): Promise<ShownLine> {
  await requireInstalled(environment)
  const { database } = environment
  const of = [subscription, key]
  const [line, messages, edits, discards] = await Promise.all([
    database.query<DeadLetter & Pick<ShownLine, 'reason'>>(LINE, of),
    database.query<MessageRow>(MESSAGES, [...of, options.data ? 1 : 0]),
    database.query<ShownLine['edits'][number]>(EDITS, of),
    database.query<ShownLine['discards'][number]>(DISCARDS, of),
  ])
  const [shown, head] = [line.rows[0], messages.rows[0]]
  if (shown === undefined || head === undefined) throw new NothingWaits({ subscription, key })
  const { attributes, generation, attempts, edited_from, data } = head
  return {
    ...shown,
    head: {
      ...messageOf(head),
      attributes: JSON.parse(attributes),
      generation,
      attempts,
      editedFrom: edited_from,
      ...(data === null ? {} : { data }),
    },
    followers: messages.rows.slice(1).map(messageOf),
    edits: edits.rows,
    discards: discards.rows,
  }
}

function messageOf({ message, time, joined_at, attributes }: MessageRow): WaitingMessage {
  return { message, version: versionIn(attributes), time, joinedAt: joined_at }
}

/** What is parked because it can not be read has none. */
function versionIn(attributes: string): number | null {
  try {
    return fromAttributes(JSON.parse(attributes)).version
  } catch {
    return null
  }
}
