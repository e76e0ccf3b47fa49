import { teamOfSource } from '@comity/contract'
import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { DeliveryHandler, IncomingMessage } from '../transport/transport.ts'
import type { CatalogContract, DeclarationReport, Seen, SystemType } from './contracts.ts'
import { SystemMessageUnreadable } from './errors.ts'
import { readSystemMessage } from './system-message.ts'

/* One statement each, so that the parts of the map agree. A field that is still declared keeps the time since when it is. */
const DECLARATION = `
  with newest as (
    insert into comity.catalog as c (team, declaration, declared_at, heard_at, library)
    values ($1::text, $2::text::jsonb, $3::text::timestamptz, $3::text::timestamptz, $2::text::jsonb ->> 'library')
    on conflict (team) do update set declaration = excluded.declaration, declared_at = excluded.declared_at, library = excluded.library,
      heard_at = greatest(c.heard_at, excluded.heard_at)
    where c.declared_at is null or c.declared_at <= excluded.declared_at
    returning team
  ), kept as (
    select k ->> 'name' as subscription, k ->> 'contract' as contract, f.field, k ->> 'table' as copied_to, k -> 'columns' ->> f.field as "column"
    from newest, jsonb_array_elements($2::text::jsonb -> 'keeps') k, lateral (
      select jsonb_array_elements_text(coalesce(k -> 'fields', '[]')) as field union select jsonb_object_keys(coalesce(k -> 'columns', '{}'))) f
  ), owned as (
    select o ->> 'name' as name
    from newest, jsonb_array_elements(($2::text::jsonb -> 'owns') || ($2::text::jsonb -> 'publishes') || coalesce($2::text::jsonb -> 'answers', '[]')) o
  ), unkept as (
    delete from comity.catalog_fields f using newest
    where f.team = newest.team and not exists (select from kept k where k.subscription = f.subscription and k.field = f.field)
  ), disowned as (
    delete from comity.catalog_contracts c using newest where c.team = newest.team and not exists (select from owned o where o.name = c.name)
  )
  insert into comity.catalog_fields as f (team, subscription, contract, field, copied_to, "column", since)
  select $1::text, k.subscription, k.contract, k.field, k.copied_to, k."column", $3::text::timestamptz from kept k
  on conflict (team, subscription, field) do update set contract = excluded.contract, copied_to = excluded.copied_to, "column" = excluded."column"`

const CONTRACT = `
  insert into comity.catalog_contracts as c (team, name, hash, description, declared_at)
  values ($1::text, $2::text, $3::text, $4::text::jsonb, $5::text::timestamptz)
  on conflict (team, name) do update set hash = excluded.hash, description = excluded.description, declared_at = excluded.declared_at
  where c.declared_at <= excluded.declared_at`

const SEEN = `
  insert into comity.catalog as c (team, heard_at, state, library) values ($1::text, $4::text::timestamptz, $2::text, $3::text)
  on conflict (team) do update set heard_at = excluded.heard_at, state = excluded.state, library = excluded.library
  where c.heard_at <= excluded.heard_at`

/**
 * Keeps the map of all teams, this one among them. Who speaks is who the envelope says: a broker proves that some team sent it which was granted
 * the topic, not which. So the map informs, and decides nothing.
 */
export function catalogHeard(options: {
  readonly database: Queryable
  /** A team has declared something: it may be new, and wait for what this one declares. */
  readonly onDeclared?: () => void
  readonly logger?: Logger
}): DeliveryHandler {
  const { database, logger = silentLogger } = options

  async function hear(message: IncomingMessage): Promise<void> {
    const type = message.attributes['ce-type'] ?? ''
    const team = teamOfSource(message.attributes['ce-source'] ?? '') ?? ''
    const at = message.sentAt.toISOString()
    const read = <Data extends { readonly team: string }>(): Data | undefined => {
      const data = readSystemMessage<Data>(message, type as SystemType, team)
      if (data !== undefined && (data.team !== team || message.key !== team))
        throw new SystemMessageUnreadable({ problem: `it speaks for ${data.team}, and comes from ${team}` })
      return data
    }
    try {
      if (type === 'comity.declaration') {
        if (read<DeclarationReport>() === undefined) return
        await database.query(DECLARATION, [team, message.data, at])
        options.onDeclared?.()
      } else if (type === 'comity.contract') {
        const said = read<CatalogContract>()
        if (said !== undefined) await database.query(CONTRACT, [team, said.name, said.hash, JSON.stringify(said.description), at])
      } else if (type === 'comity.seen') {
        const said = read<Seen>()
        if (said !== undefined) await database.query(SEEN, [team, said.state, said.library, at])
      } else throw new SystemMessageUnreadable({ problem: `nothing here handles ${type || 'what has no type'}` })
    } catch (error) {
      if (!(error instanceof SystemMessageUnreadable)) throw error
      logEvent(logger, 'comity.control.unreadable', { sender: team || 'another team', type, error })
    }
  }

  return async (deliveries) => {
    for (const { message } of deliveries) await hear(message)
    return deliveries.map(() => 'ack')
  }
}
