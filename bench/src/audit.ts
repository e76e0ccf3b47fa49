import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { type Team, team } from 'comity'
import { type Audit, auditOf, operate } from 'comity/admin'
import { postgresTransport } from 'comity/transport'
import type pg from 'pg'
import { CREATE_CUSTOMERS, Customer, GENERATED, stage, withClient } from './stage.ts'

/** What `npm run bench -- audit` prints. Seconds of one digest of all rows on each side, elapsed and of the server's processor; of whole audits, elapsed. */
export interface AuditResult {
  readonly name: 'audit'
  readonly rows: number
  readonly owner: Work
  readonly copy: Work
  /** The owner's of a subset, which goes through all rows and hashes half of them. */
  readonly subset: Work
  /** The limit in the same run: SHA-256 of each row's fields, joined, and nothing else. */
  readonly yardstick: Work
  /** All rows equal. Whole audits are not run of more than a million rows. */
  readonly equal?: Whole
  /** A hundred rows of the copy corrupted, found and repaired. */
  readonly repaired?: Whole & { readonly keys: number }
}
interface Work {
  readonly seconds: number
  readonly cpuSeconds: number
}
interface Whole {
  readonly seconds: number
  readonly bytes: number
  readonly verdict: string
}

const FIELDS = ['agencyId', 'email', 'name', 'city', 'note'] as const
const COLUMNS = 'id, agency_id, email, name, city, note'
const CORRUPTED = 100
const MOST_WHOLE = 1_000_000

/** A copy of so many rows is compared with its owner, through the Postgres transport: when it is equal, and when it is not. */
export async function audit(rows: number): Promise<AuditResult> {
  await using on = await stage()
  const owner = team('owner', { database: on.owner, transport: postgresTransport({ url: on.bus }) }).owns(Customer, { table: 'customers' })
  const keeper = team('keeper', { database: on.keeper, transport: postgresTransport({ url: on.bus }) }).keeps(Customer, { fields: FIELDS })
  // Before Comity captures the table: what is compared is there on both sides, without a message.
  await withClient(on.owner, async (client) => {
    await client.query(CREATE_CUSTOMERS)
    await client.query(`insert into customers ${GENERATED}`, [1, rows])
  })
  for (const one of [owner, keeper]) {
    await one.migrate()
    await one.provision()
  }
  await withClient(on.keeper, async (client) => {
    await client.query(`insert into owner_customer (${COLUMNS}, comity_version) select g.*, 1 from (${GENERATED}) g`, [1, rows])
    await client.query(`update comity.asked_backfills set state = 'ready'`)
    await client.query('vacuum analyze owner_customer')
  })
  await withClient(on.owner, (client) => client.query('vacuum analyze customers'))

  const rounds = rows < MOST_WHOLE ? 3 : 1
  const secret = randomBytes(32).toString('hex')
  const fields = [{ name: 'id', kind: 'integer' }, ...FIELDS.map((name) => ({ name, kind: 'text' }))]
  const texts = [...fields]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name }) => `r.${name === 'agencyId' ? 'agency_id' : name}::text`)
  const source = {
    ...{ key: 'r.id::text', texts, version: 'r.comity_version', from: 'public.owner_customer r', where: 'true', within: 'true' },
    columns: [['r.id', 'bigint']],
  }
  const ofOwner = (subset: string | null): Promise<Work> =>
    withClient(on.owner, (client) =>
      digested(on.server.pid, rounds, () =>
        sliced(client, 'own_', '$1::text, $2::jsonb, $3::jsonb', [Customer.name, JSON.stringify(fields), subset], secret),
      ),
    )
  const own = await ofOwner(null)
  const copy = await withClient(on.keeper, (client) =>
    digested(on.server.pid, rounds, () => sliced(client, '', '$1::jsonb', [JSON.stringify(source)], secret)),
  )
  // Half of them.
  const subset = await ofOwner(JSON.stringify([{ field: 'city', op: '<', value: 'City 5' }]))

  const yardstick = await withClient(on.owner, (client) =>
    digested(on.server.pid, rounds, () =>
      client.query('select count(sha256(textsend(agency_id || city || email || id::text || name || note))) from customers'),
    ),
  )

  const digests = { name: 'audit', rows, owner: own, copy, subset, yardstick } as const
  if (rows > MOST_WHOLE) return digests
  for (const one of [owner, keeper]) await one.start()
  try {
    const equal = await whole(keeper, false)
    await withClient(on.keeper, (client) =>
      client.query(
        `update owner_customer set email = upper(email) where id in (select i * $1::int from generate_series(1, ${CORRUPTED}) i)`,
        [Math.floor(rows / CORRUPTED)],
      ),
    )
    const repaired = await whole(keeper, true)
    return {
      ...digests,
      equal: shown(equal),
      repaired: { ...shown(repaired), keys: repaired.audit.repaired?.clean ?? 0 },
    }
  } finally {
    await Promise.all([owner.stop(), keeper.stop()])
  }
}

/** The digests of all rows, in slices as an audit of a machine with little else to do takes them. */
async function sliced(client: pg.Client, side: string, given: string, values: readonly unknown[], secret: string): Promise<void> {
  const $ = (n: number): string => `$${values.length + n}`
  const end = `select comity.audit_${side}upto(${given}, ${$(1)}::text[], ${SLICE}) as upto`
  const digests = `select * from comity.audit_${side}digests(${given}, ${$(1)}, ${$(2)}::text[], ${$(3)}::text[], 10, null, null)`
  for (let after: readonly string[] | null = null; ; ) {
    const { rows }: { rows: { upto: string | null }[] } = await client.query(end, [...values, after])
    const upto: readonly string[] | null = JSON.parse(rows[0]?.upto ?? 'null')
    await client.query(digests, [...values, secret, after, upto])
    if (upto === null) return
    after = upto
  }
}
const SLICE = 100_000

/** The best of the rounds: what else runs on the machine is not meant. All processes of the server count, also those that a statement starts. */
async function digested(server: number, rounds: number, work: () => Promise<unknown>): Promise<Work> {
  let best: Work = { seconds: Number.POSITIVE_INFINITY, cpuSeconds: Number.POSITIVE_INFINITY }
  for (let round = 0; round < rounds; round++) {
    const [start, cpu] = [performance.now(), cpuOf(server)]
    await work()
    const took = { seconds: round2((performance.now() - start) / 1000), cpuSeconds: round2(cpuOf(server) - cpu) }
    if (took.cpuSeconds < best.cpuSeconds) best = took
  }
  return best
}

/** Of a server, with those of its processes that have ended and those that live: seconds. */
function cpuOf(postmaster: number): number {
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return ticksOf(String(postmaster), 4) / 100 + children.reduce((sum, pid) => sum + ticksOf(pid, 2), 0) / 100
}

/** User and system time in Linux's ticks of 10 ms, and that of ended children. */
function ticksOf(pid: string, fields: 2 | 4): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return stat.slice(11, 11 + fields).reduce((sum, ticks) => sum + Number(ticks), 0)
  } catch {
    return 0 // it has ended meanwhile
  }
}

async function whole(keeper: Team, repair: boolean): Promise<{ readonly seconds: number; readonly audit: Audit }> {
  const start = performance.now()
  const request = { kind: 'audit', arguments: { repair }, author: 'bench', reason: 'to measure', origin: 'cli' } as const
  const { outcome } = await operate(keeper.environment, keeper.declaration, { ...request, id: crypto.randomUUID() })
  const { audits } = outcome as unknown as { readonly audits: readonly { readonly id: string }[] }
  for (;;) {
    const audit = await auditOf(keeper.environment, audits[0]?.id as string)
    if (audit.state === 'ended') return { seconds: round2((performance.now() - start) / 1000), audit }
    await delay(20)
  }
}

function shown({ seconds, audit: { bytes, verdict } }: { readonly seconds: number; readonly audit: Audit }): Whole {
  return { seconds, bytes, verdict: String(verdict) }
}
function round2(value: number): number {
  return Math.round(value * 100) / 100
}
