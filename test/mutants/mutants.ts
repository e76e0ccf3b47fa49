import type { StageName } from './stages.ts'

/** One place of one file, which must be there exactly once. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** A bug that somebody could write, and that some system has had (FAILURES, section 1). */
export interface Mutant {
  readonly name: string
  /** What then goes wrong. */
  readonly harm: string
  readonly edits: readonly Edit[]
  /** Who must catch it: the history checker after one of its stages, or a test where what was promised is no matter of the history. */
  readonly caughtBy: { readonly stage: StageName } | { readonly test: string; readonly title: string }
}

const comity = 'packages/comity/src'
const migrations = 'packages/comity/migrations'

/** All of them; each breaks every guard that would make up for the others. */
export const MUTANTS: readonly Mutant[] = [
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
  ) measured
  where coalesce(bytes, 0) - coalesce(octet_length(payload), 0) < $5::int
  order by measured.id`,
        replace: `      select o.*, o.xmin::text::bigint as xid from comity.outbox o
      where (o.xmin::text::bigint, o.id) > (coalesce((select l.xmin::text::bigint from comity.outbox l where l.id = $3::text::bigint), 0), $3::text::bigint)
        and $1::text is not null and $2::text is not null
      order by xid, id
      limit $4::int
    ) unsent
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
        find: `    const { rows } = await this.#database.query<Omit<OutboxRow, 'id'> & { id: string; bytes: number }>(READ, [
      \`{\${this.#gaps.ranges.map((range) => range.lo).join(',')}}\`,
      \`{\${this.#gaps.ranges.map((range) => range.hi).join(',')}}\`,
      String(this.#last),
      limit,
      BATCH_BYTES,
    ])`,
        replace: `    const page = (lo: string, hi: string, last: number) =>
      this.#database.query<Omit<OutboxRow, 'id'> & { id: string; bytes: number }>(READ, [lo, hi, String(last), limit, BATCH_BYTES])
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
  {
    name: 'acknowledge before commit',
    harm: 'a consumer that dies has told the broker of an effect that is nowhere',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/lane.ts`,
        find: `    let begun: Message | undefined
`,
        replace: `    let begun: Message | undefined
    for (const item of items) this.#answer(item, 'ack')
    await new Promise((resolve) => setTimeout(resolve, 10))
`,
      },
    ],
  },
  {
    name: 'inbox in a transaction of its own',
    harm: 'a message counts as done whose effect was rolled back',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/lane-work.ts`,
        find: 'generation, attempt, tx, sql, signal, mayBegin',
        replace: 'generation, attempt, tx, sql: this.#options.database, signal, mayBegin',
      },
    ],
  },
  {
    name: 'no inbox',
    harm: 'what the broker delivers again has its effect again',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/inbox.ts`,
        find: `    return new Set(rows.map((row) => row.message))
  } catch`,
        replace: `    return new Set([...rows.map((row) => row.message), ...messages.map(({ envelope }) => envelope.id)])
  } catch`,
      },
    ],
  },
  {
    name: "COMMIT's tag ignored",
    harm: 'a handler that caught an SQL error is acknowledged with nothing committed',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/postgres/pg-handle.ts`,
        find: `if (command !== 'COMMIT') throw new TransactionRolledBack({})`,
        replace: `if (command === '') throw new TransactionRolledBack({})`,
      },
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: `        failed,
      ])
      return outcomes`,
        replace: `        failed,
      ]).catch(() => undefined)
      return outcomes`,
      },
    ],
  },
  {
    name: 'skipping over a parked key',
    harm: 'later messages of a key have their effect while an earlier one waits',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/lane-work.ts`,
        find: 'if (waiting.has(incoming.key) || held.has(incoming.key)) return false',
        replace: 'if (held.has(incoming.key)) return false',
      },
    ],
  },
  {
    name: 'a key released beside an append',
    harm: 'a message joins a line that is just being given up, and is never run',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: 'where subscription = $1::text and lane = $2::int for update',
        replace: 'where subscription = $1::text and lane = $2::int',
      },
      { file: `${comity}/subscription/line-run.ts`, find: 'and k.key = $2::text for update`', replace: 'and k.key = $2::text`' },
    ],
  },
  {
    name: 'a line in the order of texts',
    harm: 'its cursor passes messages that have not run',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/line-run.ts`,
        find: 'and key = $2::text and seq > $3::text::bigint order by w.seq limit 1',
        replace: 'and key = $2::text and seq > $3::text::bigint order by seq limit 1',
      },
    ],
  },
  {
    name: 'a restored consumer stays where it is at the broker',
    harm: 'what it had acknowledged after the copy of its files was taken has no effect any more',
    caughtBy: {
      test: 'test/chaos/restores.test.ts',
      title: 'what they had acknowledged since is received again, has its effect once, and copies are compared',
    },
    edits: [
      {
        file: `${comity}/subscription/seek.ts`,
        find: 'else await transport.seek(brokerName, await backTo(',
        replace: "else if (brokerName === '') await transport.seek(brokerName, await backTo(",
      },
    ],
  },
  {
    name: 'what a lost history wrote is only looked at',
    harm: 'copies of an owner that was restored keep what it never had',
    caughtBy: {
      test: 'packages/comity/test/audit/audit.test.ts',
      title: 'a copy is compared by itself, and repaired, when its owner, or its own team, has begun another life',
    },
    edits: [
      {
        file: `${comity}/audit/wanted.ts`,
        find: 'select $1::text, true, $2::text, $3::text, $4::text',
        replace: 'select $1::text, false, $2::text, $3::text, $4::text',
      },
    ],
  },
  {
    name: 'no tombstones',
    harm: 'a state that comes after its deletion brings the row back',
    caughtBy: { stage: 'copies' },
    edits: [
      {
        file: `${comity}/replica/replica-sql.ts`,
        find: 'and not exists (select from comity.tombstones t where t.replica = $4::text and t.key = i.key and t.version >= i.version)',
        replace: 'and $4::text is not null',
      },
    ],
  },
  {
    name: 'the last to arrive wins',
    harm: 'an older state takes the place of a newer one',
    caughtBy: { stage: 'copies' },
    edits: [
      { file: `${comity}/replica/replica-sql.ts`, find: ` where r.\${VERSION_COLUMN} < excluded.\${VERSION_COLUMN}\``, replace: '`' },
    ],
  },
  {
    name: 'no lane lock',
    harm: 'an older state and a tombstone pass each other in two transactions',
    caughtBy: { stage: 'copies' },
    edits: [
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: 'where subscription = $1::text and lane = $2::int for update',
        replace: 'where subscription = $1::text and lane = $2::int',
      },
    ],
  },
  {
    name: 'retry of dead letters straight to the handler',
    harm: 'a message whose effect has happened, and that was delivered again and joined a line, has it twice',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/handler.ts`,
        find: 'if (fresh.delete(message.envelope.id)) {',
        replace: 'if (fresh.delete(message.envelope.id) || batch.mayBegin === undefined) {',
      },
      { file: `${comity}/subscription/lane-work.ts`, find: 'if (done?.has(incoming.id)) {', replace: 'if (done?.has(incoming.key)) {' },
    ],
  },
  {
    name: 'skip without a record',
    harm: 'a message that an operator skipped is nowhere',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/line-acts.ts`,
        find: '$6::text, $7::text from ended',
        replace: '$6::text, $7::text from ended where false',
      },
    ],
  },
  {
    name: 'gate ignores pauses',
    harm: 'messages of a tenant are handled after it was paused',
    caughtBy: { test: 'packages/comity/test/admin/pause.test.ts', title: 'a paused tenant under load' },
    edits: [
      {
        file: `${comity}/subscription/gate.ts`,
        find: 'and p.tenant = any ($3::text::text[])) as paused',
        replace: 'and p.tenant = any ($3::text::text[]) and false) as paused',
      },
      { file: `${comity}/subscription/subscription.ts`, find: 'pausedTenants.has(tenant))', replace: 'pausedTenants.size < 0)' },
    ],
  },
  {
    name: 'jobs retry what they have tried already',
    harm: 'a job over lines that fail again never ends',
    caughtBy: { test: 'packages/comity/test/admin/lines.test.ts', title: 'a job tries each line once' },
    edits: [
      {
        file: `${comity}/admin/jobs/job-runner.ts`,
        find: 'and k.tried_at < $9::text::timestamptz order by',
        replace: `and k.tried_at < $9::text::timestamptz + interval '1 day' order by`,
      },
    ],
  },
  {
    name: 'breaker by absolute count',
    harm: 'a few bad messages among many pause the subscription',
    caughtBy: { test: 'packages/comity/test/admin/pause.test.ts', title: 'a few bad messages are no bad deploy' },
    edits: [
      {
        file: `${comity}/subscription/breaker.ts`,
        find: 'if (ended < atLeast || failed <= ended * share) return undefined',
        replace: 'if (failed <= atLeast * share) return undefined',
      },
    ],
  },
  {
    name: 'first come, first served',
    harm: 'everybody waits behind a tenant that floods',
    caughtBy: { test: 'packages/comity/test/subscription/fairness.test.ts', title: 'a tenant floods' },
    edits: [
      {
        file: `${comity}/subscription/fair-queue.ts`,
        find: `    const tenant = item.tenant ?? ''`,
        replace: `    const tenant = ''`,
      },
    ],
  },
  {
    name: 'nobody makes room',
    harm: "a tenant that floods fills what is taken from the broker, and the others' messages stay there",
    caughtBy: { test: 'packages/comity/test/subscription/fairness.test.ts', title: 'a tenant floods' },
    edits: [
      {
        file: `${comity}/subscription/tenant-shares.ts`,
        find: 'if (this.#makingRoom ||',
        replace: 'if (prefetch > 0 || this.#makingRoom ||',
      },
    ],
  },
  {
    name: 'XOR-CRC audit',
    harm: 'what is in a bucket twice, or is changed alike on two rows, is as if it were not there',
    caughtBy: { test: 'packages/comity/test/audit/golden-vectors.test.ts', title: 'are met by' },
    edits: [
      {
        file: `${migrations}/0014-audit.sql`,
        find: 'sum(%s)::text, sum(%s)::text from',
        replace: 'bit_xor(%s)::text, bit_xor(%s)::text from',
      },
    ],
  },
  {
    name: 'an audit to which NULL is empty',
    harm: 'a copy whose empty texts have become NULL is said to be true',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'corruption of eight kinds' },
    edits: [
      {
        file: `${migrations}/0014-audit.sql`,
        find: 'coalesce(%s, $3)',
        replace: `coalesce(%s, '''')`,
      },
    ],
  },
  {
    name: 'an audit that draws and does not wait',
    harm: 'a row that was written before, and commits later, is told as it was: a false alarm',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'the owner waits for whoever drew' },
    edits: [
      {
        file: `${comity}/outbox/consistent-read.ts`,
        find: 'if (await allEnded(database, signal, clock, onWaiting)) return version',
        replace: 'if (version > 0 || (await allEnded(database, signal, clock, onWaiting))) return version',
      },
    ],
  },
  {
    name: 'a request that is decided as often as it comes',
    harm: 'a repetition runs its handler again: two outcomes, two effects',
    caughtBy: { test: 'packages/comity/test/request/requests.test.ts', title: 'the same request by another message' },
    edits: [
      {
        file: `${comity}/request/deciding.ts`,
        find: 'where r.asker = $1::text and r.id = $2::text) as outcome',
        replace: 'where r.asker = $1::text and r.id = $2::text and false) as outcome',
      },
    ],
  },
  {
    name: 'what is expected is not compared',
    harm: 'two teams that have seen the same state both change it: the first change is lost, and nobody hears of it (H15)',
    caughtBy: { test: 'test/request/killed.test.ts', title: 'whoever is killed, each request has one outcome' },
    edits: [
      { file: `${comity}/request/deciding.ts`, find: '      if (!matches) return', replace: '      if (!matches && state === key) return' },
    ],
  },
  {
    name: 'a rejection that keeps what its handler wrote',
    harm: 'the asker is told no, and half of it is done (H15)',
    caughtBy: { test: 'test/request/killed.test.ts', title: 'whoever is killed, each request has one outcome' },
    edits: [
      {
        file: `${comity}/request/deciding.ts`,
        find: 'if (rejected) await sql.query(UNDO)',
        replace: 'if (rejected && id === key) await sql.query(UNDO)',
      },
    ],
  },
  {
    name: 'a parked request that nobody ends',
    harm: 'a request whose deadline has passed, or that was withdrawn, waits for ever behind its failing handler: no outcome (H15)',
    caughtBy: { test: 'packages/comity/test/request/requests.test.ts', title: 'what waits because its handler fails ends by its deadline' },
    edits: [
      {
        file: `${comity}/request/requests.ts`,
        find: 'loops.push(teller, endingWaiting(',
        replace: 'loops.push(teller); void (endingWaiting(',
      },
    ],
  },
  {
    name: 'an asker that believes that somebody answers',
    harm: 'a misspelled owner, or one that was never provisioned: what is asked lies in a topic that nobody reads',
    caughtBy: { test: 'test/request/transports.test.ts', title: 'a request is answered, and only by whom it is asked of' },
    edits: [
      {
        file: `${comity}/admin/verify-asked.ts`,
        find: `(there ? ('answered' as const)`,
        replace: `(there || late ? ('answered' as const)`,
      },
    ],
  },
  {
    name: 'outcome handlers that know no pause of a tenant',
    harm: 'an operator has paused a tenant, and its effects go on',
    caughtBy: { test: 'packages/comity/test/request/outcome-handlers.test.ts', title: 'a paused handler, and a paused tenant' },
    edits: [{ file: `${comity}/request/handling-outcomes.ts`, find: `and p.tenant in ('', a.tenant))`, replace: `and p.tenant = '')` }],
  },
  {
    name: 'an audit by snapshot only',
    harm: 'a row newer than the drawn version is compared with an older one: a false alarm',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'a key with a change above' },
    edits: [{ file: `${migrations}/0014-audit.sql`, find: 'bool_or(o.id > $6) as moving', replace: 'false as moving' }],
  },
  {
    name: 'an audit that does not let the copy catch up',
    harm: 'whatever is on its way is called drift',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'what has not arrived here yet' },
    edits: [
      {
        file: `${comity}/audit/settle-suspects.ts`,
        find: '    await passed(Math.max(...asked.map(({ at }) => at)))\n',
        replace: '    if (rounds < 0) await passed(Math.max(...asked.map(({ at }) => at)))\n',
      },
    ],
  },
  {
    name: 'an audit that compares what is newer than what was read',
    harm: 'a row that was written while it was looked at is called drift',
    caughtBy: { test: 'packages/comity/test/audit/classify.test.ts', title: 'newer than what was read there' },
    edits: [
      { file: `${comity}/audit/classify.ts`, find: '  if (ours.version > at) {', replace: '  if (ours.version > at && lost.length < 0) {' },
    ],
  },
  {
    name: 'a repair of what waits',
    harm: 'the messages of a line are overtaken by a state from after them',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'what is withheld at the owner, and what waits' },
    edits: [{ file: `${comity}/audit/classify.ts`, find: `  if (ours.waiting !== undefined) return 'waiting'\n`, replace: '' }],
  },
  {
    name: 'a repair that believes every version',
    harm: 'a row with a version that no history has refuses its repair, and every later change',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'an entity that is published by code' },
    edits: [{ file: `${comity}/audit/repair-keys.ts`, find: '  if (impossible.length > 0) {', replace: '  if (impossible.length < 0) {' }],
  },
  {
    name: 'an audit of whatever is asked',
    harm: 'a team learns of fields that it was not granted',
    caughtBy: { test: 'packages/comity/test/audit/granted.test.ts', title: 'an audit of a copy with an audience' },
    edits: [
      {
        file: `${comity}/audit/answer-audit.ts`,
        find: 'fields: names, subset, versions }',
        replace: 'fields: names.slice(0, 1), subset, versions }',
      },
    ],
  },
  {
    name: 'a copy that is told only what it keeps',
    harm: 'rows of an older version of the contract are refused, though the team can lift them',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'a backfill lifts the rows of its chunks' },
    edits: [
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: '  if (older.length === 0) return undefined\n',
        replace: '  if (older.length >= 0) return undefined\n',
      },
    ],
  },
  {
    name: 'a lift gives what was not granted',
    harm: 'a team learns of fields that it was not granted, by saying that it lifts them',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'who says that it lifts a field is not granted it' },
    edits: [
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: 'return [...all].filter((field) => granted.includes(field) && !base.includes(field))',
        replace: 'return [...all].filter((field) => contract.fields.includes(field) && !base.includes(field))',
      },
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: 'if (other !== undefined) return refuse(',
        replace: 'if (other !== undefined && liftable === undefined) return refuse(',
      },
    ],
  },
  {
    name: 'an audit to which another version is drift',
    harm: 'rows that are only lifted are named as drift, at each audit again',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'an audit with an owner that' },
    edits: [
      {
        file: `${comity}/audit/settle-suspects.ts`,
        find: 'if (said.length === 0) return held',
        replace: 'if (said.length >= 0) return held',
      },
    ],
  },
  {
    name: 'a repair that lifts nothing',
    harm: 'what an owner says under an older version is put into the copy as it is',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'an audit with an owner that' },
    edits: [
      {
        file: `${comity}/audit/repair-keys.ts`,
        find: 'const states = [...lifted].flatMap(([key, state]) => (state ? [{ key, state }] : []))',
        replace: 'const states = said.flatMap(({ key, state }) => (state ? [{ key, state }] : []))',
      },
    ],
  },
  {
    name: 'states that are read after their hashes',
    harm: 'a row that is written meanwhile is called drift',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'a row that is written while its owner answers' },
    edits: [
      {
        file: `${comity}/audit/answer-audit.ts`,
        find: `        const states = await saidStates(database, entity, what.keys, await publishedEntity(database, wanted), condition)
        const held = await heldKeys(database, [...source, secret, arrayLiteral(what.keys), String(version)])
`,
        replace: `        const held = await heldKeys(database, [...source, secret, arrayLiteral(what.keys), String(version)])
        const states = await saidStates(database, entity, what.keys, await publishedEntity(database, wanted), condition)
`,
      },
    ],
  },
  {
    name: 'a request that is checked like an event',
    harm: 'a field that becomes required breaks whoever asks, and the check says that nobody is broken',
    caughtBy: { test: 'packages/comity/test/admin/request-changes.test.ts', title: 'optional becomes required' },
    edits: [
      {
        file: `${comity}/catalog/request-check.ts`,
        find: '...refusalsOf(asked.schema, next.schema)',
        replace: '...refusalsOf(next.schema, asked.schema)',
      },
    ],
  },
  {
    name: 'parts of two answers are one answer',
    harm: 'what an audit compares was never there at one time',
    caughtBy: { test: 'packages/comity/test/audit/questions.test.ts', title: 'a question that is not answered is asked again' },
    edits: [
      {
        file: `${comity}/audit/questions.ts`,
        find: `select a.answer::text as answer, array_to_json(array_agg(a.told order by a.part))::text as told
  from comity.audit_answers a where a.question = $1::text::uuid group by a.answer, a.parts having count(*) = a.parts order by min(a.at)`,
        replace: `select min(a.answer::text) as answer, array_to_json(array_agg(a.told order by a.part))::text as told
  from comity.audit_answers a where a.question = $1::text::uuid group by a.parts having count(*) >= a.parts order by min(a.at)`,
      },
    ],
  },
  {
    name: 'an owner that goes on after its hand-over',
    harm: 'two teams publish one entity: a change of the old one overwrites, or is overwritten',
    caughtBy: { test: 'packages/comity/test/hand-over/hand-over.test.ts', title: 'an entity goes to another team' },
    edits: [{ file: `${comity}/relay/handed-over.ts`, find: 'id <= given.version', replace: 'id !== given.version' }],
  },
  {
    name: 'a new owner with versions of its own',
    harm: 'its changes are older than what every copy holds: stale for ever',
    caughtBy: { test: 'packages/comity/test/hand-over/hand-over.test.ts', title: 'an entity goes to another team' },
    edits: [
      { file: `${migrations}/0022-hand-overs.sql`, find: '  perform comity.advance_versions(floor);\n', replace: '' },
      { file: `${migrations}/0022-hand-overs.sql`, find: 'greatest(0, floor - (select', replace: 'greatest(0, 0 * floor - (select' },
    ],
  },
  {
    name: 'an entity that is taken before all of it has arrived',
    harm: 'the last changes of the old owner are missing in the table that is the truth from now on',
    caughtBy: { test: 'packages/comity/test/hand-over/refusals.test.ts', title: 'before it was given' },
    edits: [{ file: `${migrations}/0022-hand-overs.sql`, find: 'if passed < buckets then', replace: 'if passed < 0 then' }],
  },
  {
    name: 'a hand-over that does not hold back what comes after it',
    harm: 'messages of the new owner are looked at before anybody knows it, and parked as forged',
    caughtBy: { test: 'packages/comity/test/hand-over/owners.test.ts', title: 'stands between what was before it' },
    edits: [{ file: `${comity}/transport/marks.ts`, find: 'left.findIndex(isHandOver) + 1 || left.length', replace: 'left.length' }],
  },
  {
    name: 'a former owner that fills copies',
    harm: 'rows of its old table, under new versions, overwrite what the owner of today has said',
    caughtBy: { test: 'packages/comity/test/hand-over/refusals.test.ts', title: 'fills no copy' },
    edits: [{ file: `${comity}/backfill/published-entity.ts`, find: 'if (next != null) return', replace: 'if (next === from) return' }],
  },
]
