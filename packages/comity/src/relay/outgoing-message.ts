import { type MessageKind, messageId, sourceOf, toAttributes } from '@comity/contract'
import type { OutgoingMessage } from '../transport/transport.ts'
import type { OutboxRow } from './outbox-reader.ts'

export interface Route {
  readonly topic: string
  /** The part of a payload (JSON text) that goes there; absent = all of it, byte for byte. */
  readonly project?: (payload: string) => string
}

/** The same bytes and the same id at every resend. */
export function messageOf(team: string, row: OutboxRow, route: Route): OutgoingMessage {
  const id = messageId(team, row.id)
  const { traceparent, ...extra }: Record<string, string> = row.headers === null ? {} : JSON.parse(row.headers)
  const payload = row.payload ?? ''
  return {
    id,
    key: row.key,
    attributes: toAttributes({
      id,
      source: sourceOf(team),
      type: row.topic,
      subject: row.key,
      time: row.time,
      version: row.id,
      kind: row.kind as MessageKind,
      ...(row.tenant === null ? {} : { tenant: row.tenant }),
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(row.headers === null ? {} : { extra }),
    }),
    data: route.project === undefined || payload === '' ? payload : route.project(payload),
  }
}
