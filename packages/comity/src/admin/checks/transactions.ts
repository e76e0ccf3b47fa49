import { type Check, type Finding, ok, warning } from './check.ts'

const OLD = `
  select 'prepared' as what, p.gid as name, extract(epoch from clock_timestamp() - p.prepared)::float8 as seconds, ''::text as detail
    from pg_prepared_xacts p where p.database = current_database() and p.prepared < clock_timestamp() - interval '5 minutes'
  union all
  select 'outbox', coalesce(h.pid::text, h.prepared), h.seconds, concat_ws(', ', nullif(h.application, ''), h.state)
    from comity.outbox_holders() h where h.pid is not null and h.seconds > 60
  union all
  select 'long', a.pid::text, extract(epoch from clock_timestamp() - a.xact_start)::float8, concat_ws(', ', nullif(a.application_name, ''), a.state)
    from pg_stat_activity a where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      and a.xact_start < clock_timestamp() - interval '10 minutes'
  union all
  select 'slot', s.slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8, coalesce(s.plugin, s.slot_type)
    from pg_replication_slots s where not s.active and not s.temporary and pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) > 1073741824
  order by 1, 3 desc limit 50`

/** What was forgotten open: it holds up the checkpoint, keeps dead rows, or fills the disk. */
export const transactions: Check = {
  name: 'transactions',
  async look(_, { database }) {
    const { rows } = await database.query<{ what: string; name: string; seconds: number; detail: string }>(OLD)
    if (rows.length === 0) return [ok('none was forgotten open, and no replication slot is abandoned')]
    return rows.map(({ what, name, seconds, detail }): Finding => {
      const since = `for ${Math.round(seconds)} s${detail === '' ? '' : ` (${detail})`}`
      if (what === 'prepared')
        return warning(`the transaction "${name}" has been prepared ${since}`, `commit prepared '${name}', or rollback prepared '${name}'`)
      if (what === 'slot')
        return warning(
          `nobody reads the replication slot ${name} (${detail}), which keeps ${(seconds / 2 ** 30).toFixed(1)} GiB of the log`,
          `if it is abandoned: select pg_drop_replication_slot('${name}')`,
        )
      const found =
        what === 'outbox'
          ? `pid ${name} has been holding up the outbox's checkpoint ${since}`
          : `pid ${name} has had a transaction open ${since}: dead rows stay, and reads grow slow`
      return warning(found, `end it where it was begun, or: select pg_terminate_backend(${name})`)
    })
  },
}
