import type { Environment } from '../../catalog/environment.ts'
import type { Queryable } from '../../postgres/database.ts'
import { JobUnknown } from '../errors.ts'
import { requireInstalled } from '../installation.ts'
import type { LineSelection } from './selection.ts'

/**
 * An act over many lines: its estimate, its progress, its result.
 *
 *   waiting ──a process takes it──▶ running ──no line is left──▶ done
 *                                      ├──too many of a stage failed again──▶ stopped
 *                                      └──somebody cancels it──▶ cancelled
 *
 * Whichever process of the team has the subscriptions works on it; when that dies, another one goes on.
 */
export interface Job {
  readonly id: string
  readonly kind: JobKind
  readonly selection: LineSelection
  readonly author: string
  readonly reason: string
  readonly state: 'waiting' | 'running' | 'done' | 'stopped' | 'cancelled'
  /** When it was asked for. */
  readonly lines: number
  readonly messages: number
  /** Lines of each stage before all the rest. */
  readonly stages: readonly number[]
  /** Which stage it is in, from 0. */
  readonly stage: number
  /** Lines a second; null = as fast as it goes. */
  readonly rate: number | null
  readonly stopAbove: number
  /** Lines that were tried, those of them that wait again, and messages that ended. */
  readonly done: number
  readonly failed: number
  readonly endedMessages: number
  /** Why it ended, in words. */
  readonly outcome: string | null
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly cancelAsked: boolean
  /** Who works on it now. */
  readonly holder: string | null
}
/** `retry` runs the lines; `skip` ends their heads by name and runs the rest; `discard` ends them by name. */
export type JobKind = 'retry' | 'skip' | 'discard'

const at = (column: string, name: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`
const COLUMNS = `
  id, kind, selection, author, reason, state, lines::float8 as lines, messages::float8 as messages, stages, stage, rate, stop_above as "stopAbove",
  done::float8 as done, failed::float8 as failed, ended_messages::float8 as "endedMessages", outcome, cancel_asked as "cancelAsked",
  case when held_until > clock_timestamp() then holder end as holder,
  ${at('created_at', 'createdAt')}, ${at('started_at', 'startedAt')}, ${at('ended_at', 'endedAt')}`

type Row = Omit<Job, 'selection' | 'stages'> & { readonly selection: string; readonly stages: string }

/** Throws COMITY_JOB_UNKNOWN. */
export async function jobOf(environment: { readonly database: Queryable }, id: string): Promise<Job> {
  const { rows } = await environment.database.query<Row>(`select ${COLUMNS} from comity.jobs where id = $1::text`, [id])
  if (rows[0] === undefined) throw new JobUnknown({ job: id })
  return read(rows[0])
}

/** The newest first. */
export async function listJobs(environment: Environment, limit = 100): Promise<readonly Job[]> {
  await requireInstalled(environment)
  const { rows } = await environment.database.query<Row>(`select ${COLUMNS} from comity.jobs order by created_at desc limit $1::int`, [
    limit,
  ])
  return rows.map(read)
}

function read(row: Row): Job {
  return { ...row, selection: JSON.parse(row.selection) as LineSelection, stages: JSON.parse(row.stages) as number[] }
}
