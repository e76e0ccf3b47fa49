import { createHash } from 'node:crypto'
import { type ContractDescription, fieldsOn } from '@comity/contract'
import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { ownersOf, receiptsTopic } from '../control/erasure-topics.ts'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { ERASURE_VERSION, HOLDINGS, type Holding, type Holdings } from './contracts.ts'

/** What of a declaration says what this team reads. */
export interface HoldingDeclaration {
  readonly team: string
  readonly keeps: readonly {
    readonly name: string
    readonly entity: ContractDescription
    readonly fields: readonly string[]
    readonly audience?: string
  }[]
  readonly handles: readonly {
    readonly name: string
    readonly contract: ContractDescription
    readonly fields?: readonly string[]
    readonly audience?: string
  }[]
}

/* Whichever process comes first says it: when it is another one than was said last, in another life of the database, and every hour. */
const TAKE = `
  insert into comity.announced as a (what, hash, at) values ($1::text, $2::text, clock_timestamp())
  on conflict (what) do update set hash = excluded.hash, at = excluded.at
  where a.hash <> excluded.hash or a.at < clock_timestamp() - interval '1 hour'
  returning what`
/* The newest of this owner's topics: what is known of its erasures is the beginning of what it has said. */
const LIFE = `
  select comity.identity() as life, (
    select e.erasure::text from comity.erased e where e.topic = any ($1::text::text[]) order by e.erased_at desc limit 1) as after`
const GIVE_BACK = `update comity.announced set at = '-infinity' where what = $1::text`

/** Tells each owner what this team reads of it, so that the owner's register is whole. */
export function holdings(options: {
  readonly declaration: HoldingDeclaration
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly mayRun: () => boolean
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { declaration, database, speaker, mayRun, clock = systemClock, logger = silentLogger } = options
  const said = ownersOf(declaration).map((owner) => ({ owner, list: holdingsOf(declaration, owner) }))
  let failing = false

  async function runOnce(): Promise<'idle' | number> {
    if (!mayRun()) return NOT_YET
    for (const { owner, list } of said) {
      const what = `holdings of ${owner}`
      const { rows } = await database.query<{ life: string; after: string | null }>(LIFE, [arrayLiteral(list.map(({ topic }) => topic))])
      const { life, after } = rows[0] as { life: string; after: string | null }
      const hash = createHash('sha256')
        .update(JSON.stringify([list, life]))
        .digest('hex')
        .slice(0, 16)
      if ((await database.query(TAKE, [what, hash])).rows.length === 0) continue
      const data: Holdings = { v: ERASURE_VERSION, holdings: list, life, ...(after === null ? {} : { after }) }
      try {
        await sayAboutCopy(speaker, receiptsTopic(owner), [{ contract: HOLDINGS, replica: `${speaker.team}.holdings`, data }])
        failing = false
      } catch (error) {
        // Once: a team that was not provisioned after an upgrade works as before, and its owner's register does not name it.
        if (!failing) logEvent(logger, 'comity.control.not_sent', { kind: 'holdings', error })
        failing = true
        await database.query(GIVE_BACK, [what])
      }
    }
    return 'idle'
  }

  return loop({ name: `holdings of ${declaration.team}`, poll: { min: LOOK_EVERY, max: LOOK_EVERY }, clock, logger, runOnce })
}

/** Until this process may speak for its team, in milliseconds. */
const NOT_YET = 200
/** Between two looks, in milliseconds. */
const LOOK_EVERY = 30_000

function holdingsOf({ keeps, handles }: HoldingDeclaration, owner: string): readonly Holding[] {
  const one = (
    subscription: string,
    kind: Holding['kind'],
    contract: ContractDescription,
    fields: readonly string[],
    audience?: string,
  ) => {
    const base = [...contract.keyFields, contract.tenantField]
    return {
      ...{ subscription, topic: contract.name, kind, fields: fields.filter((field) => !base.includes(field)) },
      ...(audience === undefined ? {} : { audience }),
    }
  }
  return [
    ...keeps
      .filter(({ entity }) => entity.owner === owner)
      .map(({ name, entity, fields, audience }) => one(name, 'replica', entity, fields, audience)),
    ...handles
      .filter(({ contract }) => contract.owner === owner)
      .map(({ name, contract, fields, audience }) => one(name, 'handler', contract, fields ?? fieldsOn(contract, audience), audience)),
  ]
}
