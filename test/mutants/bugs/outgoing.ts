import { comity, type Mutant, migrations } from '../mutant.ts'

/** From the transaction to the broker: outbox, capture, relay. */
export const OUTGOING: readonly Mutant[] = [
  {
    name: 'relay by id > last',
    harm: 'a row that commits after a later one is never read',
    caughtBy: { stage: 'writers' },
    edits: [{ file: `${comity}/relay/outbox-reader.ts`, find: 'this.#gaps.append(this.#last + 1, id - 1)', replace: '' }],
  },
  {
    name: 'cursor by xid and id',
    harm: 'a transaction that began before another one and committed after it is never read',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${comity}/relay/outbox-reader.ts`,
        find: `      select o.* from unnest($1::text::bigint[], $2::text::bigint[]) g(lo, hi)
        cross join lateral (select * from comity.outbox where id between g.lo and g.hi order by id limit $4::int) o
      union all
      (select * from comity.outbox where id > $3::text::bigint order by id limit $4::int)
      order by id
      limit $4::int
    ) unsent
    window by_id as (order by id rows unbounded preceding)
  ) measured
  where coalesce(bytes, 0) - coalesce(octet_length(payload), 0) < $5::int
  order by measured.id`,
        replace: `      select o.*, o.xmin::text::bigint as xid from comity.outbox o
      where (o.xmin::text::bigint, o.id) > (coalesce((select l.xmin::text::bigint from comity.outbox l where l.id = $3::text::bigint), 0), $3::text::bigint)
        and $1::text is not null and $2::text is not null
      order by xid, id
      limit $4::int
    ) unsent
    window by_id as (order by xid, id rows unbounded preceding)
  ) measured
  where $5::int is not null
  order by measured.xid, measured.id`,
      },
      {
        file: `${comity}/relay/outbox-reader.ts`,
        find: `        this.#gaps.remove(id)
      }`,
        replace: `        this.#last = id
      }`,
      },
    ],
  },
  {
    name: 'a relay that keeps to the contracts it began with',
    harm: 'in a rolling deploy the older process withholds what is of the new contract, and goes on sending a field whose grant was taken back',
    caughtBy: { test: 'packages/comity/test/relay/registrations.test.ts', title: 'a grant is taken back' },
    edits: [
      {
        file: `${comity}/relay/delivery.ts`,
        find: 'this.#contracts === undefined || this.#contracts.registrationMark !== registrationMark',
        replace: 'this.#contracts === undefined',
      },
    ],
  },
  {
    name: 'checkpoint bounded by a snapshot',
    harm: 'the checkpoint passes transactions that are still running',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${migrations}/0003-relay.sql`,
        find: `      and l.pid is distinct from pg_backend_pid();`,
        replace: `      and l.pid is distinct from pg_backend_pid() and false;`,
      },
    ],
  },
  {
    name: 'sequence CACHE 20',
    harm: 'a later transaction draws a smaller version',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${migrations}/0001-outbox.sql`,
        find: 'create sequence comity.outbox_id cache 1;',
        replace: 'create sequence comity.outbox_id cache 20;',
      },
      { file: `${comity}/admin/verify.ts`, find: 'if (ours.cache !== 1)', replace: 'if (ours.cache === 0)' },
    ],
  },
  {
    name: 'an id drawn before the outbox insert',
    harm: 'the checkpoint passes a version whose row comes later, and versions invert the order of the commits',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${migrations}/0002-publish.sql`,
        find: '  perform comity.begin_publish();\n',
        replace: `  perform comity.begin_publish();\n  drawn := nextval('comity.outbox_id');\n`,
      },
      {
        file: `${migrations}/0002-publish.sql`,
        find: `  insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
    values (publish.topic, publish.key, announced, publish.tenant, data, publish.headers, publish.checked)
    returning id into drawn;`,
        replace: `  insert into comity.outbox (id, topic, key, kind, tenant, payload, headers, checked)
    values (drawn, publish.topic, publish.key, announced, publish.tenant, data, publish.headers, publish.checked);`,
      },
    ],
  },
  {
    name: 'excluded.version in heads',
    harm: 'the version is drawn before the key is locked, so the older state gets the newer number',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${migrations}/0002-publish.sql`,
        find: `  insert into comity.heads (topic, key, version, deleted) values (publish.topic, publish.key, 0, true) on conflict do nothing;`,
        replace: `  insert into comity.heads as h (topic, key, version, deleted) values (publish.topic, publish.key, nextval('comity.outbox_id'), announced <> 'deleted')
    on conflict on constraint heads_pkey do update set version = excluded.version;`,
      },
      {
        file: `${migrations}/0002-publish.sql`,
        find: `  insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
    values (publish.topic, publish.key, announced, publish.tenant, data, publish.headers, publish.checked)
    returning id into drawn;`,
        replace: `  drawn := head.version;
  insert into comity.outbox (id, topic, key, kind, tenant, payload, headers, checked)
    values (drawn, publish.topic, publish.key, announced, publish.tenant, data, publish.headers, publish.checked);`,
      },
    ],
  },
  {
    name: 'eager reads paged under newer snapshots',
    harm: 'a key is inverted: its later row is seen by the second statement, its earlier one by none',
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${comity}/relay/outbox-reader.ts`,
        find: `    const { rows } = await this.#database.query<Omit<OutboxRow, 'id'> & { id: string; bytes: number; mark: string | null }>(READ, [
      \`{\${this.#gaps.ranges.map((range) => range.lo).join(',')}}\`,
      \`{\${this.#gaps.ranges.map((range) => range.hi).join(',')}}\`,
      String(this.#last),
      limit,
      BATCH_BYTES,
    ])`,
        replace: `    const page = (lo: string, hi: string, last: number) =>
      this.#database.query<Omit<OutboxRow, 'id'> & { id: string; bytes: number; mark: string | null }>(READ, [lo, hi, String(last), limit, BATCH_BYTES])
    const lo = \`{\${this.#gaps.ranges.map((range) => range.lo).join(',')}}\`
    const hi = \`{\${this.#gaps.ranges.map((range) => range.hi).join(',')}}\`
    const gaps = await page(lo, hi, Number.MAX_SAFE_INTEGER)
    const rows = [...gaps.rows, ...(await page('{}', '{}', this.#last)).rows]`,
      },
    ],
  },
  {
    name: 'the transition table copied instead of the state read',
    harm: "a trigger of the user's that writes the row again is announced first, and the older state after it",
    caughtBy: { stage: 'writers' },
    edits: [
      {
        file: `${comity}/outbox/capture/trigger-sql.ts`,
        find: `select v.key, v.tenant, v.state, v.withheld into state from \${names.state} v where \${isRowOf(plan, 'change', \`current_setting('transaction_isolation') = 'read committed'\`)};`,
        replace: `if tg_op = 'DELETE' then
    select null::text as key, null::text as tenant, null::text as state, null::text as withheld into state;
  else
    select \${names.key}(n) as key, null::text as tenant, to_jsonb(n)::text as state, null::text as withheld into state from new_rows n;
  end if;`,
      },
    ],
  },
  {
    name: 'two relays without a term',
    harm: 'a relay that slept through its lease goes on sending',
    caughtBy: { stage: 'relays' },
    edits: [
      {
        file: `${comity}/postgres/lease.ts`,
        find: 'if (!lost.signal.aborted && clock.monotonic() >= end)',
        replace: 'if (!lost.signal.aborted && false)',
      },
      {
        file: `${comity}/postgres/lease.ts`,
        find: `where name = $1::text and holder = $2::text and term = $3::text::bigint returning name\``,
        replace: `where name = $1::text and $2::text is not null and $3::text is not null returning name\``,
      },
      {
        file: `${comity}/relay/relay.ts`,
        find: `where source = 'outbox' and term <= $2::text::bigint returning`,
        replace: `where source = 'outbox' returning`,
      },
      {
        file: `${comity}/transport/postgres/postgres-transport.ts`,
        find: `fence?.term ?? null,`,
        replace: `fence === undefined ? null : 2 ** 40,`,
      },
    ],
  },
  {
    name: 'the sequence not moved in a new incarnation',
    harm: 'a version of the lost history is drawn again',
    caughtBy: { stage: 'restored' },
    edits: [
      {
        file: `${migrations}/0001-outbox.sql`,
        find: 'select greatest(s.last_value + 1, comity.clock_id()) into floor from comity.outbox_id s;',
        replace: 'select s.last_value into floor from comity.outbox_id s;',
      },
      {
        file: `${comity}/control/clearance.ts`,
        find: 'const PASS_HIGHEST = `\n  select',
        replace: 'const PASS_HIGHEST = `\n  select null where $1::text is null and false and exists (select',
      },
      {
        file: `${comity}/control/clearance.ts`,
        find: 'where last_value < $1::text::bigint`',
        replace: 'where last_value < $1::text::bigint)`',
      },
    ],
  },
]
