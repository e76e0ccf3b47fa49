import type { Declaration } from '../catalog/declaration.ts'
import { qualified, quoteIdentifier, quoteLiteral } from '../postgres/index.ts'

/** The login roles of one team. Roles belong to the whole server, so a namespace is part of their names. */
export interface TeamRoles {
  /** The application: publishes, and reads the team's copies. */
  readonly writer: string
  /** `comity run`: relays the outbox and consumes the subscriptions. */
  readonly runner: string
  /** Both of them on the bus, where the team speaks for itself only. */
  readonly bus: string
}

/** `crm` → `crm_writer`, `crm_runner`, `crm_bus`; in the namespace `staging` → `staging_crm_writer`, … */
export function teamRoles(team: string, namespace: string): TeamRoles {
  const prefix = (namespace === '' ? team : `${namespace}_${team}`).replaceAll('-', '_')
  return { writer: `${prefix}_writer`, runner: `${prefix}_runner`, bus: `${prefix}_bus` }
}

const PUBLISHING = [
  'publish(text, text, text, text, text, text, boolean)',
  'publish_many(text, text[], text[], text[], text[], text[], boolean)',
  'publish(text, text, timestamp with time zone, text, text, text, text, boolean)',
  'publish_many(text, text[], text[], text[], text[], text[], boolean, timestamp with time zone)',
  'cancel_scheduled(text, text)',
  'token(text, text)',
  'ask(text, text, text, timestamp with time zone, text, text, text, text, boolean)',
  'withdraw_request(text)',
  'state_digest(jsonb, text, text)',
]
/** What the runner calls; the functions do their work as the owner of the schema. */
const RUNNING = [
  'identity()',
  'notice_incarnation()',
  'life_begun()',
  'begin_life()',
  'advance_versions(bigint)',
  'horizon()',
  'outbox_holders()',
  'move_scheduled(integer, timestamp with time zone)',
  'maintain_outbox(interval)',
  'maintain_inbox(interval)',
  'maintain_waiting(interval)',
  'fold_counts()',
  'draw_version()',
  'backfill_parts(text, text[], integer, integer, integer, jsonb, text[])',
  'backfill_estimate(text)',
  'audit_own_upto(text, jsonb, jsonb, text[], integer)',
  'audit_own_digests(text, jsonb, jsonb, text, text[], text[], integer, integer, integer[])',
  'audit_own_rows(text, jsonb, jsonb, text, text[], text[], integer, integer[])',
  'audit_own_keys(text, jsonb, jsonb, text, text[], bigint)',
  'audit_own_states(text, text[])',
  'in_subset(jsonb, jsonb)',
  'audit_upto(jsonb, text[], integer)',
  'audit_digests(jsonb, text, text[], text[], integer, integer, integer[])',
  'audit_rows(jsonb, text, text[], text[], integer, integer[])',
  'audit_copied_keys(jsonb, text, text[], text)',
  'audit_range(jsonb, text[], text[])',
  'audit_hashed(jsonb, text)',
  'audit_hashed_keys(jsonb)',
  'audit_bucket(integer)',
  'audit_word(integer)',
  'canonical_json(jsonb)',
  'canonical_json_of(jsonb)',
  'canonical_double(numeric)',
  'state_key(text, text)',
  'erase_own(text, text, bigint)',
  'erase_withheld(text, text, bigint)',
  'erase_messages(text, text, bigint, text)',
  'note_lost_history()',
  'turn_lost_away(text, bigint, jsonb, text[])',
  'compare_expected(text, text, jsonb, text, text)',
  'decide_waiting()',
  'maintain_requests(interval)',
  'name_lost(text, text[])',
  'is_lost(text, bigint)',
  'handed_to(text)',
  'seed(text, text[])',
  'inbox_floor()',
  'waiting_floor()',
]

interface Grant {
  readonly rights: string
  readonly on: string
  readonly why: string
}

/** What the runner touches itself. Nothing here lets it write the outbox, a contract or a capture. */
const RUNNER: readonly Grant[] = [
  {
    rights: 'select',
    on: 'comity.outbox, comity.outbox_id, comity.incarnations',
    why: 'what it relays, and as which life of the database',
  },
  {
    rights: 'select',
    on: 'comity.database, comity.migrations, comity.contracts, comity.contract_versions, comity.captures, comity.subscriptions, comity.replicas, comity.partitions',
    why: 'what the owner has registered; verified before a start',
  },
  { rights: 'select', on: 'comity.scheduled', why: 'what waits for its time; counted by status' },
  { rights: 'select, insert, update', on: 'comity.leases', why: 'leadership' },
  { rights: 'select, update', on: 'comity.checkpoint', why: 'how far everything is settled' },
  {
    rights: 'select, insert, update (code, path, reason, follows, retry_at, resolution, resolved_at)',
    on: 'comity.withheld',
    why: 'what could not be published',
  },
  { rights: 'select, update (lane)', on: 'comity.lanes', why: 'to lock a row takes the right to update; nothing updates it' },
  { rights: 'select, insert', on: 'comity.inbox', why: 'what had its effect' },
  { rights: 'select, insert, update', on: 'comity.counts', why: 'how messages ended' },
  {
    rights: 'select, insert, update (message, attributes, data, attempts, error_code, error, edited_from)',
    on: 'comity.waiting',
    why: 'lines of keys that wait',
  },
  { rights: 'select, insert, update, delete', on: 'comity.waiting_keys', why: 'and their cursors' },
  { rights: 'usage', on: 'comity.waiting_seq', why: 'their order' },
  { rights: 'update (generation, seek, replayed_until)', on: 'comity.subscriptions', why: 'a subscription that goes back over history' },
  { rights: 'select, insert, update, delete', on: 'comity.pauses', why: 'what an operator, or the breaker, has paused' },
  { rights: 'select, insert, update', on: 'comity.jobs', why: 'acts over many lines' },
  { rights: 'select, insert', on: 'comity.edited', why: 'originals of messages that an operator has edited' },
  { rights: 'select, insert', on: 'comity.discarded', why: 'what was ended without its effect, by name' },
  { rights: 'select, insert, update', on: 'comity.tombstones', why: 'versions of deleted rows' },
  { rights: 'select, insert', on: 'comity.conflicts', why: 'versions that came with two contents' },
  { rights: 'select, insert, update', on: 'comity.backfills', why: 'what copies of this team’s entities have asked for' },
  { rights: 'select, insert, update', on: 'comity.asked_backfills, comity.marks', why: 'how far its own copies are' },
  { rights: 'select, insert, update, delete', on: 'comity.backfill_left', why: 'rows that a backfill could not bring' },
  { rights: 'select, insert, update, delete', on: 'comity.audits', why: 'comparisons of its copies with their owners' },
  { rights: 'select, insert, update', on: 'comity.repairs', why: 'what was said anew, for whom and why' },
  {
    rights: 'select, insert, update',
    on: 'comity.audit_gaps',
    why: 'messages that the broker has removed unread, which copies were compared for',
  },
  { rights: 'select, insert, update', on: 'comity.audit_copies', why: 'copies of its entities, which are told when to compare themselves' },
  { rights: 'select, insert, update, delete', on: 'comity.audit_findings', why: 'keys that are not as their owner has them' },
  { rights: 'select, insert, delete', on: 'comity.audit_answers', why: 'what owners answer, until it is read' },
  { rights: 'select, insert, delete', on: 'comity.audit_marks', why: 'versions up to which another team waits for marks' },
  {
    rights: 'select, insert, update',
    on: 'comity.erasures, comity.holders, comity.holder_lives',
    why: 'what this team has erased, and who reads what of it',
  },
  {
    rights: 'select, update (announced_at)',
    on: 'comity.lost_histories',
    why: 'versions that a restore has taken back; their readers are told',
  },
  { rights: 'select', on: 'comity.lost, comity.lost_handled', why: 'versions that owners have lost, and what was done for them' },
  {
    rights: 'select, insert, update (told_at)',
    on: 'comity.hand_overs',
    why: 'entities that went from one team to another',
  },
  { rights: 'select, insert', on: 'comity.erasure_receipts, comity.erased', why: 'what was removed, here and elsewhere' },
  { rights: 'select, insert, update, delete', on: 'comity.processes', why: 'what each process is doing' },
  { rights: 'select, insert, update', on: 'comity.announced, comity.teams', why: 'what this team and others say of themselves' },
  {
    rights: 'select, insert, update, delete',
    on: 'comity.catalog, comity.catalog_contracts, comity.catalog_fields',
    why: 'the map of all teams: who owns, keeps and handles what',
  },
  {
    rights: 'select, insert, update, delete',
    on: 'comity.transport_moves',
    why: 'how far each subscription is on its way to another broker',
  },
  {
    rights: 'select, insert, update',
    on: 'comity.requests, comity.asked, comity.asks',
    why: 'what was asked, here and of others, and what became of it',
  },
  { rights: 'select', on: 'comity.answered, comity.asked_requests', why: 'which requests this team answers, and the life of its own' },
  { rights: 'select, insert', on: 'comity.answers', why: 'answers to commands' },
  { rights: 'select, insert, update (done_at, outcome, error)', on: 'comity.operations', why: 'what was done, with its author and reason' },
]

/** One right of a runner, as Postgres' functions ask for it. */
export interface Right {
  readonly kind: 'table' | 'column' | 'sequence' | 'function'
  readonly object: string
  /** e.g. `select` */
  readonly right: string
  readonly column?: string
}

/** Everything that the runner must be allowed to, one by one. */
export function runnerRights(declaration: Declaration): readonly Right[] {
  const copies = declaration.keeps.map(({ schema, table }) => ({ rights: 'select, insert, update, delete', on: qualified(schema, table) }))
  return [
    ...[...PUBLISHING, ...RUNNING].map((name): Right => ({ kind: 'function', object: `comity.${name}`, right: 'execute' })),
    ...[...RUNNER, ...copies].flatMap(({ rights, on }) => on.split(', ').flatMap((object) => rightsOn(object, rights))),
  ]
}

/** Of `select, update (a, b)`: one for each, and for each column. */
function rightsOn(object: string, rights: string): readonly Right[] {
  return [...rights.matchAll(/(\w+)(?: \(([^)]*)\))?(?:, |$)/g)].flatMap(([, right = '', columns]): readonly Right[] => {
    if (columns !== undefined) return columns.split(', ').map((column) => ({ kind: 'column', object, right, column }))
    return [{ kind: right === 'usage' ? 'sequence' : 'table', object, right }]
  })
}

/**
 * A script that leaves each role of a team exactly the rights it needs in the team's database. Run it after `comity migrate`, as a
 * superuser, or as the owner of the schema if that may create roles; again after each upgrade. A role that does not exist is
 * created without a password: how it proves who it is (a password, a certificate, pg_hba.conf) is the operator's choice.
 * Captured tables need nothing of it: their triggers do their work as the owner of the schema.
 */
export function teamRolesSql(declaration: Declaration, options: { readonly namespace: string; readonly database?: string }): string {
  const { writer, runner } = teamRoles(declaration.team, options.namespace)
  const copies = declaration.keeps.map(({ schema, table }) => ({ schema, table: qualified(schema, table) }))
  const schemas = [...new Set(copies.map(({ schema }) => schema))]
  const lines = ['begin;']

  const role = (name: string, what: string): void => {
    lines.push('', `-- ${name}: ${what}`, createRole(name), ...revokeAll(name))
    if (options.database !== undefined)
      lines.push(`grant connect on database ${quoteIdentifier(options.database)} to ${quoteIdentifier(name)};`)
    lines.push(`grant usage on schema comity to ${quoteIdentifier(name)};`)
    for (const schema of schemas) lines.push(`grant usage on schema ${quoteIdentifier(schema)} to ${quoteIdentifier(name)};`)
  }
  const execute = (names: readonly string[], to: string): void => {
    for (const name of names) lines.push(`grant execute on function comity.${name} to ${quoteIdentifier(to)};`)
  }

  role(writer, 'the application. It publishes; of the outbox it sees nothing')
  execute(PUBLISHING, writer)
  lines.push('-- what became of what it has asked')
  lines.push(`grant select on comity.asked, comity.asked_requests to ${quoteIdentifier(writer)};`)
  if (copies.length > 0) {
    lines.push('-- the copies, to read; and what waitFor(token) looks up')
    for (const { table } of copies) lines.push(`grant select on ${table} to ${quoteIdentifier(writer)};`)
    lines.push(`grant select on comity.replicas, comity.tombstones to ${quoteIdentifier(writer)};`)
  }

  role(runner, '"comity run". Handlers write as this role: grant it what they write in your own tables')
  execute([...PUBLISHING, ...RUNNING], runner)
  lines.push(`grant usage on schema comity_public to ${quoteIdentifier(runner)}; -- to see that the contract views are there`)
  for (const { rights, on, why } of RUNNER) lines.push(`${grantOn(rights, on, runner)} -- ${why}`)
  for (const { table } of copies) lines.push(`grant select, insert, update, delete on ${table} to ${quoteIdentifier(runner)};`)

  lines.push('', 'commit;', '')
  return lines.join('\n')
}

function createRole(name: string): string {
  const role = quoteIdentifier(name)
  const create = `begin if not exists (select from pg_roles where rolname = ${quoteLiteral(name)}) then create role ${role} login; end if; end`
  return `do $$ ${create} $$;`
}

/** What an older version granted goes. */
function revokeAll(name: string): string[] {
  const role = quoteIdentifier(name)
  return ['tables', 'sequences', 'functions'].map((kind) => `revoke all on all ${kind} in schema comity from ${role};`)
}

/** A sequence is a table to `grant select`, and not to `grant usage`. */
function grantOn(rights: string, on: string, role: string): string {
  return `grant ${rights} on ${rights === 'usage' ? 'sequence ' : ''}${on} to ${quoteIdentifier(role)};`
}
