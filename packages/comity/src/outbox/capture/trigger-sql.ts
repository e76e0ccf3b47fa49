import { quoteIdentifier, quoteLiteral } from '../../postgres/quote.ts'
import { captureNames } from './capture-names.ts'
import type { CapturePlan } from './plan-capture.ts'
import { isPlain } from './state-sql.ts'
import { ROW } from './table-shape.ts'

/**
 * What the text of values may depend on. The trigger function pins it; whoever else reads the state view, a contract view
 * or a replica's wire texts sets the same.
 */
export const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'iso_8601',
  extra_float_digits: '1',
  bytea_output: 'hex',
  lc_monetary: 'C',
}
const PINNED: Readonly<Record<string, string>> = {
  ...SESSION_SETTINGS,
  row_security: 'off',
  // A plan made in a bulk statement serves the session's later single rows: it must find rows by index, and compile nothing.
  enable_seqscan: 'off',
  jit: 'off',
}

/** The trace context of the session, if it has one; a subselect, so that a statement asks once. */
const SESSION_HEADERS = '(select comity.session_headers())'

/** What rows of the transition tables are called: by a plain name one would get the column of that name, where the table has one. */
const [OLD, NEW] = [quoteIdentifier('comity old'), quoteIdentifier('comity new')]

type Event = 'insert' | 'update' | 'delete'
const EVENTS: readonly Event[] = ['insert', 'update', 'delete']
/** In pg_trigger.tgtype. */
const TRUNCATE_BIT = 32

/**
 * The one trigger function of a captured topic.
 *
 * The state at the statement's end decides: each key in the old or new rows whose published image changed is announced
 * once; its row is read anew, for a trigger of the user's may have written it again. No row: deleted.
 */
export function triggerFunction(plan: CapturePlan): string {
  const names = captureNames(plan.topic)
  const topic = quoteLiteral(plan.topic)
  const otherLayout = plan.partitions.some((partition) => !partition.sameLayout)
  const body = `
declare
  change record;
  state record;
  leaf regclass;
begin
  -- Of a partition: it may have been detached since, and its rows are not ours any more.
  if tg_nargs > 0 then
    if not exists (select from pg_partition_ancestors(tg_relid) a join comity.captures c on c.source = a.relid where c.topic = ${topic}) then
      return null;
    end if;
  end if;
  if row_security_active(tg_relid) or to_regclass(${quoteLiteral(names.state)}) is null then
    perform comity.capture_broken(${topic}, tg_relid);
  end if;

  if tg_op = 'TRUNCATE' then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform comity.refuse('CM007', format('TRUNCATE of %s under %s: its snapshot may not see all that is removed', tg_relid::regclass, upper(current_setting('transaction_isolation'))),
        'truncate it under READ COMMITTED, or use DELETE');
    end if;
    ${truncation(plan)}
    return null;
  end if;
${otherLayout ? byName(plan) : ''}
  -- What is found of the first row serves if it is the only one: two small statements cost half of the large one. LIMIT: some settings make a
  -- second row an error (plpgsql.extra_errors).
  if tg_op = 'UPDATE' then
    select ${names.key}(${OLD}) as old_key, ${rowColumns(plan, NEW, OLD)}, true as existed, ${names.changed}(${OLD}, ${NEW}) as changed, ${several('new_rows')}
      into change from old_rows ${OLD} cross join new_rows ${NEW} limit 1;
    if not found then
      return null;
    end if;
    if change.several or change.key <> change.old_key then${announcement(plan, 'update')};
      return null;
    end if;
    if not change.changed then
      return null;
    end if;
  elsif tg_op = 'INSERT' then
    select ${rowColumns(plan, NEW, NEW)}, false as existed, ${several('new_rows')} into change from new_rows ${NEW} limit 1;
    if not found then
      return null;
    end if;
    if change.several then${announcement(plan, 'insert')};
      return null;
    end if;
  else
    select ${rowColumns(plan, OLD, OLD)}, true as existed, ${several('old_rows')} into change from old_rows ${OLD} limit 1;
    if not found then
      return null;
    end if;
    if change.several then${announcement(plan, 'delete')};
      return null;
    end if;
  end if;

  select v.key, v.tenant, v.state, v.withheld into state from ${names.state} v where ${isRowOf(plan, 'change', `current_setting('transaction_isolation') = 'read committed'`)};
  perform comity.begin_publish();
  insert into comity.outbox (topic, key, kind, tenant, payload, headers)
    values (${topic}, ${announced(plan, 'change', 'state', 'case when state.key is null then change.tenant else state.tenant end')});
  return null;
end`
  const settings = Object.entries(PINNED).map(([name, value]) => `  set ${name} = ${quoteLiteral(value)}`)
  return `create function ${names.capture}() returns trigger language plpgsql security definer
  set search_path = pg_catalog, pg_temp
${settings.join('\n')}
as $comity$${body}$comity$`
}

/** What is known of a key from a row in a transition table; after a key change the tenant is the old row's. */
function rowColumns(plan: CapturePlan, row: string, owner: string): string {
  const names = captureNames(plan.topic)
  const raw = plan.keys.map((_, i) => `${names.rawKey(i)}(${row}) as key_${i + 1}`)
  return `${names.key}(${row}) as key, ${names.tenant}(${owner}) as tenant, ${names.keyUnfit}(${row}) as unfit, ${raw.join(', ')}`
}

function several(rows: string): string {
  return `(select true from ${rows} offset 1 limit 1) is true as several`
}

/** Finds the row of a key in the state view `v`. */
function isRowOf(plan: CapturePlan, change: string, readCommitted: string): string {
  return [
    ...plan.keys.map((_, i) => `v.key_${i + 1} = ${change}.key_${i + 1}`),
    // Where equal values have different texts, the row that is found may have another key.
    ...(plan.keys.every(({ conversion }) => conversion.exact) ? [] : [`v.key = ${change}.key`]),
    // An older snapshot also sees a row that another transaction has deleted; whatever has this key now is our own.
    `(${readCommitted} or comity.written_here(v.written))`,
  ].join(' and ')
}

/** Key, kind, tenant, payload and headers of an outbox row. */
function announced(plan: CapturePlan, change: string, state: string, tenant: string): string {
  return `case when ${change}.unfit is null then ${change}.key else comity.unfit_key(${change}.key) end,
      case when ${state}.key is null then 'deleted' when ${change}.existed then 'updated' else 'created' end,
      ${tenantIfFit(plan, tenant)},
      case when ${change}.unfit is null and ${state}.withheld is null then ${state}.state end, coalesce(${change}.unfit, ${state}.withheld, ${SESSION_HEADERS})`
}

/**
 * Of any number of rows, in one statement.
 * @param cast makes the row of a partition whose columns are in another order one of that partition's type, and so of the table's
 */
function announcement(plan: CapturePlan, event: Event, cast = ''): string {
  const names = captureNames(plan.topic)
  const [o, n] = [`${OLD}${cast}`, `${NEW}${cast}`]
  // Of a key that only the old rows have, everything is taken from the old row.
  const either = (what: string): string => `coalesce(${what}(${n}), ${what}(${o}))`
  const columns =
    event === 'insert'
      ? `${rowColumns(plan, n, n)}, false as existed`
      : event === 'delete'
        ? `${rowColumns(plan, o, o)}, true as existed`
        : `${either(names.key)} as key, ${names.key}(${o}) is not null as existed, coalesce(${names.tenant}(${o}), ${names.tenant}(${n})) as tenant,
        case when ${names.key}(${n}) is null then ${names.keyUnfit}(${o}) else ${names.keyUnfit}(${n}) end as unfit,
        ${plan.keys.map((_, i) => `${either(names.rawKey(i))} as key_${i + 1}`).join(', ')}`
  const source = {
    insert: `new_rows ${NEW}`,
    delete: `old_rows ${OLD}`,
    update: `old_rows ${OLD} full join new_rows ${NEW} on ${names.key}(${o}) = ${names.key}(${n})
      where ${names.key}(${o}) is null or ${names.key}(${n}) is null or ${names.changed}(${o}, ${n})`,
  }[event]
  // The topic comes from a subselect so that begin_publish runs once, only if something changed, and before an id is drawn:
  // DISTINCT ON keeps the inner query whole, and ids are the outer one's.
  return `
    insert into comity.outbox (topic, key, kind, tenant, payload, headers)
    select c.topic, ${announced(plan, 'c', 's', 't.tenant')}
    from (
      select distinct on (key) (select ${quoteLiteral(plan.topic)} from comity.begin_publish()) as topic, ${columns}
      from ${source}
      order by key
    ) c left join lateral (
      select v.key, v.tenant, v.state, v.withheld from ${names.state} v
      where ${isRowOf(plan, 'c', `(select current_setting('transaction_isolation') = 'read committed')`)} limit 1
    ) s on true cross join lateral (select case when s.key is null then c.tenant else s.tenant end as tenant) t`
}

/** Partitions with the columns in another order: their statements are made for them, by their names of this moment. */
function byName(plan: CapturePlan): string {
  const branches = EVENTS.map(
    (event, i) => `${i === 0 ? 'if' : 'elsif'} tg_op = '${event.toUpperCase()}' then
      execute format($sql$${announcement(plan, event, '::%1$s')}$sql$, tg_relid::regclass);`,
  )
  return `
  if tg_argv[0] = 'by name' then
    ${branches.join('\n    ')}
    end if;
    return null;
  end if;
`
}

/** A deletion is announced even if nobody could say whose it was; a state is withheld then. */
function tenantIfFit({ tenant }: CapturePlan, text: string): string {
  return tenant === undefined || isPlain(tenant) ? text : `case when comity.key_fits(${text}) then ${text} end`
}

/**
 * Before the rows go, each is announced as deleted: those of a plain table from the view, those of a partition from the
 * partition. A TRUNCATE of a partitioned table fires its partitions' triggers, and speaks itself for those that have none yet.
 */
function truncation(plan: CapturePlan): string {
  const names = captureNames(plan.topic)
  const deletions = (
    key: string,
    unfit: string,
    tenant: string,
    from: string,
  ): string => `insert into comity.outbox (topic, key, kind, tenant, headers)
        select c.topic, case when c.unfit is null then c.key else comity.unfit_key(c.key) end, 'deleted', ${tenantIfFit(plan, 'c.tenant')}, coalesce(c.unfit, ${SESSION_HEADERS})
        from (
          select (select ${quoteLiteral(plan.topic)} from comity.begin_publish()) as topic, ${key} as key, ${unfit} as unfit, ${tenant} as tenant
          from ${from} order by 2
          offset 0
        ) c`
  if (!plan.partitioned) return `${deletions('key', 'key_unfit', 'tenant', names.state)};`
  return `for leaf in
      select p.relid from pg_partition_tree(tg_relid) p
      where p.isleaf and (tg_nargs > 0 or not exists (
        select from pg_trigger t
        where t.tgrelid = p.relid and t.tgfoid = ${quoteLiteral(`${names.capture}()`)}::regprocedure and (t.tgtype & ${TRUNCATE_BIT}) <> 0))
      order by 1
    loop
      execute format($sql$${deletions(`${names.key}(${ROW})`, `${names.keyUnfit}(${ROW})`, `${names.tenant}(${ROW})`, `only %s ${ROW}`)}$sql$, leaf);
    end loop;`
}

/** The triggers of the table and of each partition; a statement fires only those of the relation that it names. */
export function triggers(plan: CapturePlan): string[] {
  const names = captureNames(plan.topic)
  const on = (table: string, events: readonly string[], argument: string): string[] =>
    events.flatMap((event) => {
      const name = quoteIdentifier(names.trigger(event))
      const tables = {
        insert: 'referencing new table as new_rows',
        delete: 'referencing old table as old_rows',
        update: 'referencing old table as old_rows new table as new_rows',
        truncate: '',
      }[event]
      const when = event === 'truncate' ? 'before' : 'after'
      return [
        `create trigger ${name} ${when} ${event} on ${table} ${tables} for each statement execute function ${names.capture}(${argument})`,
        `alter table only ${table} enable always trigger ${name}`,
      ]
    })
  // TRUNCATE is the exception: of a partitioned table it fires the triggers of its leaves too, which announce their own rows.
  return [
    ...on(plan.table, [...EVENTS, 'truncate'], ''),
    ...plan.partitions.flatMap(({ table, leaf, sameLayout }) =>
      on(table, leaf ? [...EVENTS, 'truncate'] : EVENTS, sameLayout ? `'partition'` : `'by name'`),
    ),
  ]
}
