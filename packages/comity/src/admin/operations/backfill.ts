import type { JsonSchema, JsonValue } from '@comity/contract'
import { BackfillNotOpen, BackfillOpen, CopyNotHere } from '../errors.ts'
import type { Operation } from './operation.ts'

export interface BackfillArguments {
  /** The copy, `<team>.<name>`: this team's own, or one of another team that this one fills. */
  readonly replica: string
}
export interface BackfillStartArguments extends BackfillArguments {
  /** Rows a second at most; the owner's own limit holds all the same. */
  readonly rate?: number
}
const replica: JsonSchema = { type: 'string', minLength: 1 }
const ARGUMENTS: JsonSchema = { type: 'object', properties: { replica }, required: ['replica'], additionalProperties: false }

const OPEN_HERE = `select id::text as id from comity.asked_backfills where replica = $1::text and state in ('asking', 'filling', 'settling') for update`
const START = `
  insert into comity.asked_backfills (replica, owner, entity, why, rate) values ($1::text, $2::text, $3::text, 'asked', $4::text::double precision)
  returning id::text as id`
const WANT = `
  update comity.asked_backfills set wanted = $2::text, asks = 0, ask_at = clock_timestamp(),
    state = case when $2::text = 'cancel' then 'cancelled' else state end, reason = case when $2::text = 'cancel' then $3::text else reason end,
    ended_at = case when $2::text = 'cancel' then clock_timestamp() else ended_at end
  where replica = $1::text and state in ('asking', 'filling', 'settling') returning id::text as id`
const OWNERS: Readonly<Record<Want, string>> = {
  pause: `update comity.backfills set state = 'paused', paused_by = 'owner' where replica = $1::text and state in ('waiting', 'running') returning id::text as id`,
  run: `update comity.backfills set state = 'waiting', paused_by = null where replica = $1::text and state = 'paused' returning id::text as id`,
  cancel: `
    update comity.backfills set state = 'cancelled', error = $2::text, ended_at = clock_timestamp()
    where replica = $1::text and state in ('waiting', 'running', 'paused', 'sent') returning id::text as id`,
}
type Want = 'pause' | 'run' | 'cancel'

/** Fills a copy of this team again. What it holds stays, and is put right. Throws COMITY_BACKFILL_OPEN while one runs. */
export const startBackfill: Operation<BackfillStartArguments> = {
  kind: 'backfill-start',
  arguments: {
    type: 'object',
    properties: { replica, rate: { type: 'number', exclusiveMinimum: 0 } },
    required: ['replica'],
    additionalProperties: false,
  },
  async run(sql, { declaration }, { replica: name, rate }) {
    const kept = declaration.keeps.find((one) => one.name === name)
    if (kept === undefined)
      throw new CopyNotHere({
        team: declaration.team,
        replica: name,
        copies: declaration.keeps.map((one) => one.name).join(', ') || 'none',
      })
    const open = (await sql.query<{ id: string }>(OPEN_HERE, [name])).rows[0]
    if (open !== undefined) throw new BackfillOpen({ replica: name })
    await sql.query('delete from comity.backfill_left where replica = $1::text', [name])
    const { rows } = await sql.query<{ id: string }>(START, [
      name,
      kept.entity.owner,
      kept.entity.name,
      rate === undefined ? null : String(rate),
    ])
    return { replica: name, backfill: rows[0]?.id as string }
  },
}

/** Stops it where it is; live changes go on. From the side of the copy its owner is told. */
export const pauseBackfill: Operation<BackfillArguments> = act('backfill-pause', 'pause')
/** Goes on where it stopped. */
export const resumeBackfill: Operation<BackfillArguments> = act('backfill-resume', 'run')
/** Ends it for good: what was applied stays, and live changes go on. */
export const cancelBackfill: Operation<BackfillArguments> = act('backfill-cancel', 'cancel')

function act(kind: string, want: Want): Operation<BackfillArguments> {
  return {
    kind,
    arguments: ARGUMENTS,
    async run(sql, { declaration, author, reason }, { replica: name }): Promise<JsonValue> {
      const own = declaration.keeps.some((kept) => kept.name === name)
      const why = `${author}: ${reason}`
      const { rows } = await (own
        ? sql.query<{ id: string }>(WANT, [name, want, why])
        : sql.query<{ id: string }>(OWNERS[want], want === 'cancel' ? [name, why] : [name]))
      if (rows[0] === undefined) throw new BackfillNotOpen({ replica: name, team: declaration.team })
      return { replica: name, side: own ? 'copy' : 'owner', backfill: rows[0].id }
    },
  }
}
