import type { Queryable } from '../postgres/database.ts'
import { HEARTBEAT_EVERY } from './announcer.ts'
import type { DeclarationReport, Heartbeat } from './contracts.ts'

/** What an operating team knows of one team; times are ISO 8601. */
export interface OperatedTeam {
  readonly team: string
  /** `alive`: heard within three heartbeats; `silent`: since `heardAt`; `unheard`: never, yet. */
  readonly state: 'alive' | 'silent' | 'unheard'
  readonly heardAt: string | null
  /** Seconds since then. */
  readonly age: number | null
  readonly heartbeat: Heartbeat | null
  readonly declaration: DeclarationReport | null
  readonly declaredAt: string | null
}

const TEAMS = `
  select team, heartbeat::text as heartbeat, declaration::text as declaration,
    to_char(heard_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as heard_at,
    to_char(declared_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as declared_at,
    extract(epoch from clock_timestamp() - heard_at)::float8 as age
  from comity.teams`

interface TeamRow {
  readonly team: string
  readonly heartbeat: string | null
  readonly declaration: string | null
  readonly heard_at: string | null
  readonly declared_at: string | null
  readonly age: number | null
}

/** Every team that is operated, heard of or not, in the order of their declaration. */
export async function operatedTeams(database: Queryable, operates: readonly string[]): Promise<readonly OperatedTeam[]> {
  const rows = new Map((await database.query<TeamRow>(TEAMS)).rows.map((row) => [row.team, row]))
  return operates.map((team) => {
    const row = rows.get(team)
    const age = row?.age == null ? null : Math.max(0, row.age)
    return {
      team,
      state: age === null ? 'unheard' : age * 1000 > 3 * HEARTBEAT_EVERY ? 'silent' : 'alive',
      heardAt: row?.heard_at ?? null,
      age,
      heartbeat: row?.heartbeat ? JSON.parse(row.heartbeat) : null,
      declaration: row?.declaration ? JSON.parse(row.declaration) : null,
      declaredAt: row?.declared_at ?? null,
    }
  })
}
