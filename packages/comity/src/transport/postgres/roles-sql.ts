import { escapeIdentifier, escapeLiteral } from 'pg'

export interface BusRole {
  readonly role: string
  readonly team: string
}

/** What a team may call; everything else of schema comity_bus is the operator's. */
const granted = [
  'hello()',
  'maintain()',
  'buckets_of(text)',
  'send(text, integer, text, bigint, bigint, text, bigint, integer[], integer[], text[], text[], text[], text[])',
  'claim(text, bigint, text)',
  'withdraw(text, text)',
  'open(text)',
  'watch(integer[])',
  'renew(integer[], text[], integer)',
  'release(integer, text, integer[], boolean)',
  'fetch(integer, text, integer[], bigint[], bigint[], integer, bigint)',
  'ack(integer[], text[], integer[], bigint[], bigint[], double precision[])',
  'stats(text[])',
  'seek(text, text, timestamptz)',
]

/**
 * The statements that let each role speak for its team on the bus, and for no other: EXECUTE on functions, no table.
 * Run them as the operator, in the bus's database, after its schema is there. Repeating them is fine. A role that does not
 * exist is created without a password: how it proves who it is (a password, a certificate, pg_hba.conf) is the operator's choice.
 */
export function rolesSql(roles: readonly BusRole[], options: { readonly database: string }): string {
  const database = escapeIdentifier(options.database)
  const lines = [`revoke all on database ${database} from public;`]
  for (const { role, team } of roles) {
    const name = escapeIdentifier(role)
    lines.push(
      '',
      `do $$ begin if not exists (select from pg_roles where rolname = ${escapeLiteral(role)}) then create role ${name} login; end if; end $$;`,
      `grant connect on database ${database} to ${name};`,
      `grant usage on schema comity_bus to ${name};`,
      ...granted.map((signature) => `grant execute on function comity_bus.${signature} to ${name};`),
      `select comity_bus.enroll(${escapeLiteral(role)}, ${escapeLiteral(team)});`,
    )
  }
  return `${lines.join('\n')}\n`
}
